"""Distributed without torchrun, and its arguments."""

import logging
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    TensorDataset,
)

from trackside import Distributed, KeyedLoader, Metrics, Trainer
from trackside.engine import CheckpointError
from trackside.events import AttachError, TrainState
from trackside.handlers.distributed import _process_group
from trackside.handlers.distributed._loader_shards import LoaderShards
from trackside.handlers.distributed._overlap import RunOverlap
from trackside.handlers.distributed._process_group import rank_and_world_size

BATCHES = [(torch.ones(2, 3), torch.zeros(2, 1))] * 2
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "host", "MASTER_PORT": "29500"}


def fitted(*handlers):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    trainer = Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1), handlers)
    trainer.fit(BATCHES, BATCHES, epochs=2)
    return trainer


def test_without_torchrun_a_fit_is_unchanged_and_says_so_once(caplog):
    with caplog.at_level(logging.INFO, logger="trackside"):
        trainer = fitted(Distributed())
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "one process, as torchrun has not started several" in caplog.text
    assert torch.equal(trainer.state.model.weight, fitted().state.model.weight)
    assert (trainer.state.rank, trainer.state.world_size) == (0, 1)
    assert trainer.state.samples == 8


def test_without_torchrun_an_evaluation_and_a_refusal_are_unchanged(tmp_path):
    with_it, without = (Trainer(nn.Linear(3, 1), nn.MSELoss(), handlers=[Metrics()]) for _ in "ab")
    with_it.attach(Distributed())
    without.state.model.load_state_dict(with_it.state.model.state_dict())
    assert with_it.validate(BATCHES) == without.validate(BATCHES)
    (tmp_path / "step-1").mkdir()
    trainer = fitted(Distributed())
    with pytest.raises(CheckpointError) as raised:
        trainer.fit(BATCHES, resume=tmp_path / "step-1")
    assert not any("ranks" in note for note in getattr(raised.value, "__notes__", ()))


def test_a_rank_that_cannot_tell_the_others_of_a_refusal_says_so_too(tmp_path, monkeypatch):
    for name, value in {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)

    def refuse(*_):
        raise ConnectionError("no store")

    monkeypatch.setattr(_process_group, "_STORES", [])
    monkeypatch.setattr(_process_group, "rendezvous", refuse)
    (tmp_path / "step-1").mkdir()
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, nn.MSELoss(), optimizer, [Distributed()])
    with pytest.raises(CheckpointError) as raised:
        trainer.fit(BATCHES, resume=tmp_path / "step-1")
    assert "trackside: the other ranks were not told: " in "".join(raised.value.__notes__)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vote_every": 0}, r"vote_every=0\): allowed: an int, from 1"),
        ({"vote_every": 2.0}, r"vote_every=2.0\): allowed: an int, from 1"),
        ({"vote_every": 2, "uneven": "join"}, r"uneven='join'\): allowed: one of them"),
    ],
)
def test_a_wrong_number_of_batches_without_votes_is_refused(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Distributed(shard=False, **options)


def test_a_wrong_argument_is_refused():
    with pytest.raises(ValueError, match=r"strategy='zero'\): allowed: 'ddp', 'fsdp2'"):
        Distributed("zero")
    with pytest.raises(ValueError, match=r"uneven='longest'\): allowed: 'shortest', 'join'"):
        Distributed(uneven="longest")
    for timeout in (0, 4.9, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="allowed: seconds, from 5"):
            Distributed(timeout=timeout)


def test_an_environment_that_is_not_torchruns_is_refused():
    assert rank_and_world_size(TORCHRUN) == (1, 4)
    assert rank_and_world_size({"MASTER_ADDR": "host"}) == (0, 1)
    with pytest.raises(ValueError, match="has RANK, and no WORLD_SIZE and no MASTER_ADDR"):
        rank_and_world_size({"RANK": "0"})
    for rank in ("4", "one", "-1"):
        with pytest.raises(ValueError, match="allowed: a rank from 0"):
            rank_and_world_size({**TORCHRUN, "RANK": rank})
    for port in ("0", "65536", "http"):
        with pytest.raises(ValueError, match=f"MASTER_PORT='{port}'; allowed: a port, from 1 to"):
            rank_and_world_size({**TORCHRUN, "MASTER_PORT": port})


def test_parts_whose_gradients_would_not_be_reduced_are_refused(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)

    class Loss(nn.Linear):
        def forward(self, pred, yb):
            return super().forward(pred).mean()

    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(AttachError, match="the loss, a Loss, has parameters that are trained"):
        Trainer(model, Loss(1, 1), optimizer, [Distributed()])
    named = {"models": {"g": model}, "optimizers": {"g": optimizer}}
    trainer = Trainer(loss_fn=nn.MSELoss(), **named, activities={"backward": lambda s: ""})
    with pytest.raises(AttachError, match="models or optimizers by name"):
        trainer.attach(Distributed())
    wrapped = nn.DataParallel(model)
    trainer = Trainer(wrapped, nn.MSELoss(), torch.optim.SGD(wrapped.parameters(), lr=0.1))
    with pytest.raises(AttachError, match="wrapped already: it has a DataParallel"):
        trainer.attach(Distributed())


def test_detaching_makes_the_trainer_the_only_one_again(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    trainer = Trainer(nn.Linear(3, 1), nn.MSELoss())
    detach = trainer.attach(Distributed())
    assert (trainer.state.rank, trainer.state.world_size, trainer.state.is_main) == (1, 4, False)
    detach()
    assert (trainer.state.rank, trainer.state.world_size) == (0, 1)


def test_a_keyed_loader_that_has_a_rank_keeps_it_or_is_refused():
    loader = KeyedLoader(TensorDataset(torch.ones(8, 3)), 2)
    for found in ((0, 1), (1, 2)):
        loader.set_rank(*found)
        shards = LoaderShards(1, 2, 0)
        shards.shard(SimpleNamespace(train_loader=loader, valid_loader=None))
        assert loader.share == (1, 2)
        shards.undo.close()
        assert loader.share == found
    loader.set_rank(0, 3)
    with pytest.raises(ValueError, match="train_loader: its KeyedLoader has rank 0 of 3, and this"):
        LoaderShards(1, 2, 0).shard(SimpleNamespace(train_loader=loader, valid_loader=None))


def test_each_of_several_evaluations_is_sharded_and_put_back():
    loaders = {name: DataLoader(DATA, 2) for name in ("near", "far")}
    state = SimpleNamespace(train_loader=None, valid_loader=loaders)
    shards = LoaderShards(1, 2, 0)
    shards.shard(state)
    assert {name: [len(x) for (x,) in shard] for name, shard in state.valid_loader.items()} == {
        "near": [2, 2],
        "far": [2, 2],
    }
    shards.undo.close()
    assert state.valid_loader is loaders
    with pytest.raises(TypeError, match="cannot shard the valid_loader 'bad', a list: allowed"):
        shards.shard(SimpleNamespace(train_loader=None, valid_loader={"bad": [DATA[:2]]}))


@pytest.mark.parametrize("of", ["the loader", "its sampler"])
def test_the_order_of_all_ranks_has_the_seed_of_the_users_generator(of):
    def order(seed):
        generator = torch.Generator().manual_seed(seed)
        data = TensorDataset(torch.arange(16.0))
        if of == "the loader":
            loader = DataLoader(data, 2, shuffle=True, generator=generator)
        else:
            loader = DataLoader(data, 2, sampler=RandomSampler(data, generator=generator))
        state = SimpleNamespace(train_loader=loader, valid_loader=None)
        LoaderShards(0, 2, 7).shard(state)
        return torch.cat([x for (x,) in state.train_loader]).tolist()

    assert order(1) == order(1) != order(2)


def test_the_length_of_a_loader_that_was_left_alone_is_certain_only_with_a_dataset_of_one():
    class Sharded(Endless):
        def __len__(self):
            return 4

    sampler = DistributedSampler(DATA, num_replicas=2, rank=1)
    shards, known = LoaderShards(1, 2, 0), []
    for loader in (DataLoader(DATA, 2, sampler=sampler), Host(Sharded(), sampler)):
        state = SimpleNamespace(train_loader=loader, valid_loader=None)
        shards.shard(state)
        assert state.train_loader is loader
        known.append(shards.know_length(loader))
    assert known == [True, False]


def test_nothing_is_certain_before_a_validation_and_of_an_unknown_loader():
    loader, shards = DataLoader(DATA, 2), LoaderShards(0, 2, 0)
    fields = {
        "batches": iter(()),
        "n_batches": 9,
        "batch_index": 2,
        "training": True,
    }
    state = TrainState(model=nn.Linear(3, 1), train_loader=loader, **fields)
    overlap = RunOverlap(None, shards, every=4)
    assert overlap.certain_batches(state) == 0
    shards.shard(state)
    assert overlap.certain_batches(state) == 4
    state.validate_next = True
    assert overlap.certain_batches(state) == 0


class Host:
    """The loader of a host, with a sampler that shards it."""

    def __init__(self, dataset, sampler):
        self.dataset, self.sampler = dataset, sampler


class Endless(IterableDataset):
    def __iter__(self):
        return iter([torch.ones(3)])


DATA = TensorDataset(torch.ones(8, 3))
IN_ORDER = [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("loader", "text"),
    [
        (DataLoader(DATA, batch_sampler=IN_ORDER), "its batch_sampler is a list, which makes"),
        (DataLoader(Endless()), "cannot shard the train_loader, a Endless: allowed"),
        ([DATA[:2]], "cannot shard the train_loader, a list: allowed"),
    ],
)
def test_a_loader_that_cannot_be_shared_by_ranks_is_refused(loader, text):
    with pytest.raises(TypeError, match=text):
        LoaderShards(1, 2, 0).shard(SimpleNamespace(train_loader=loader, valid_loader=None))
