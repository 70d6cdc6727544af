"""What must be equal on all ranks, without processes."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import Subset, TensorDataset

from trackside import EMA, CSVLogger, Distributed, KeyedLoader, MixedPrecision, MixUp, ProgressBar
from trackside.events import TrainState
from trackside.handlers.distributed._rank_differences import facts_of, refuse_differences

FACTS = {"torch": "2.13.0", "run": "fit", "epochs": 3, "handlers": ["Metrics", "EMA"]}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"torch": "2.12.1"}, "rank 2 has torch 2.12.1, rank 0 has 2.13.0"),
        ({"run": "validate"}, "rank 2 has run validate, rank 0 has fit"),
        ({"handlers": ["Metrics"]}, r"rank 2 has handlers \['Metrics'\], rank 0 has .*'EMA'"),
    ],
)
def test_a_difference_is_named_with_its_rank(change, text):
    refuse_differences([FACTS, FACTS, FACTS])
    with pytest.raises(RuntimeError, match=text):
        refuse_differences([FACTS, FACTS, FACTS | change])


def test_of_many_differences_three_are_named_and_the_others_counted():
    others = [{**FACTS, "epochs": epochs} for epochs in range(5)]
    with pytest.raises(RuntimeError, match=r"rank 3 has epochs 2.*; and 1 more"):
        refuse_differences([FACTS, *others])


class Trains:
    """As much of a trainer as its facts are taken from."""

    topology = SimpleNamespace(rows=())

    def __init__(self, *handlers):
        model = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loader = KeyedLoader(TensorDataset(torch.ones(8, 2)), 4)
        self.handlers = handlers
        self.state = TrainState(
            model=model, optimizer=optimizer, train_loader=loader, valid_loader=None
        )


def facts(*handlers, **options):
    return facts_of(Trains(*handlers), Distributed(**options))


def test_numbers_of_handlers_are_compared_not_paths_seeds_and_what_only_writes(tmp_path):
    one = facts(EMA(0.9), MixUp(seed=1), CSVLogger(tmp_path / "a"), ProgressBar())
    assert one["options of EMA"]["decay"] == 0.9
    assert one["options of MixUp"] == {"alpha": 0.2}
    assert one == facts(EMA(0.9), MixUp(seed=2), CSVLogger(tmp_path / "b"), ProgressBar())
    with pytest.raises(RuntimeError, match=r"rank 1 has options of EMA {'decay': 0.8}, rank 0"):
        refuse_differences([facts(EMA(0.9)), facts(EMA(0.8))])


def test_options_that_are_nan_are_equal_and_a_dtype_is_compared():
    trainers = [Trains(MixedPrecision(torch.bfloat16)) for _ in range(2)]
    for trainer in trainers:
        trainer.state.optimizer.param_groups[0]["lr"] = float("nan")
    ranks = [facts_of(trainer, Distributed()) for trainer in trainers]
    assert ranks[0]["options of its groups"]["lr of group 0"] == "nan"
    refuse_differences(ranks)
    others = [facts(MixedPrecision(dtype)) for dtype in (torch.float16, torch.bfloat16)]
    with pytest.raises(RuntimeError, match=r"'torch.bfloat16'.*rank 0 has .*'torch.float16'"):
        refuse_differences(others)


def test_a_split_that_is_another_one_on_a_rank_is_named():
    found = []
    for first in (0, 4):
        part = Subset(TensorDataset(torch.ones(8, 2)), range(first, first + 4))
        trainer = Trains()
        trainer.state.train_loader = KeyedLoader(part, 4)
        found.append(facts_of(trainer, Distributed()))
    message = (
        r"rank 1 has subset of train_loader of 4 examples from 4 to 7, checksum \w+, rank 0 has"
    )
    with pytest.raises(RuntimeError, match=message):
        refuse_differences(found)


def test_a_split_by_keys_that_are_texts_has_a_checksum_too():
    trainer = Trains()
    trainer.state.train_loader = KeyedLoader(Subset({"a": 1.0, "b": 2.0}, ["a", "b"]), 1)
    found = facts_of(trainer, Distributed())["subset of train_loader"]
    assert found.startswith("of 2 examples from a to b, checksum ")


def test_batch_sizes_are_compared_of_loaders_that_are_sharded():
    assert facts()["batch size of train_loader"] == 4
    assert "batch size of train_loader" not in facts(shard=False)
