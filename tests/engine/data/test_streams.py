"""Streams keep their place, and so do pipelines of torchdata and of webdataset."""

import gc
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

from trackside.engine import Trainer
from trackside.handlers import ValidateEvery

ROWS = [(torch.full((1,), i / 10), torch.full((1,), i / 5)) for i in range(10)]


class Stream(IterableDataset):
    """Ten examples in an order of the epoch; saves its place, and counts what it reads."""

    def __init__(self):
        self.place = self.epoch = self.read = 0

    def set_epoch(self, epoch):
        self.epoch, self.place = epoch, 0

    def __iter__(self):
        order = torch.randperm(10, generator=torch.Generator().manual_seed(self.epoch)).tolist()
        while self.place < 10:
            self.place += 1
            self.read += 1
            yield ROWS[order[self.place - 1]]
        self.place = 0

    def state_dict(self):
        return {"place": self.place}

    def load_state_dict(self, state):
        self.place = state["place"]


class Batches(Stream):
    """Gives batches itself."""

    def __iter__(self):
        for x, y in super().__iter__():
            yield x[None], y[None]


def stateful(*args, **options):
    from torchdata.stateful_dataloader import StatefulDataLoader

    return StatefulDataLoader(*args, **options)


def nodes():
    from torchdata.nodes import Batcher, IterableWrapper, Loader, Mapper

    return Loader(Mapper(Batcher(IterableWrapper(ROWS), 2), default_collate))


def hugging_face():
    older = "the shuffle buffer of datasets 5.0 resumes without the example that it held"
    pytest.importorskip("datasets", minversion="5.2", reason=older)
    from datasets import Dataset

    rows = {"x": [x.tolist() for x, _ in ROWS], "y": [y.tolist() for _, y in ROWS]}
    stream = Dataset.from_dict(rows).to_iterable_dataset(num_shards=5).with_format("torch")
    return DataLoader(stream.shuffle(seed=3, buffer_size=1), 2, collate_fn=pairs)


def pairs(rows):
    return torch.stack([row["x"] for row in rows]), torch.stack([row["y"] for row in rows])


class Shards:
    """Ten examples in two files, as webdataset reads them."""

    def __init__(self, folder):
        from webdataset import TarWriter

        self.names = [str(folder / f"{number}.tar") for number in range(2)]
        for number, name in enumerate(self.names):
            with TarWriter(name) as shard:
                for place in range(5 * number, 5 * number + 5):
                    x, y = ROWS[place]
                    shard.write({"__key__": str(place), "x.json": x.tolist(), "y.json": y.tolist()})

    def batches(self):
        from webdataset import WebDataset

        files = WebDataset(self.names, shardshuffle=False).decode().to_tuple("x.json", "y.json")
        return files.map(tensors).batched(2)

    def loader(self):
        from webdataset import WebLoader

        return WebLoader(self.batches(), batch_size=None)


def tensors(example):
    return tuple(map(torch.tensor, example))


def trained(make, resume=None, stop=None):
    """The inputs of all batches and the weight; or a state dict, after `stop` steps."""
    torch.manual_seed(0)
    model, seen = nn.Linear(1, 1), []
    trainer = Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), 0.05))
    for transition in trainer.steps(make(), epochs=3, resume=resume):
        if transition.trigger == "begin_batch":
            seen.append(trainer.state.xb.flatten().tolist())
        if transition.trigger == "after_batch" and trainer.state.step == stop:
            return trainer.state_dict()
    return seen, model.weight.item()


def check_resume(make, steps=15):
    whole, weight = trained(make)
    assert len(whole) == steps
    for stop in (2, steps // 3, steps // 3 + 2):
        rest, resumed_weight = trained(make, resume=trained(make, stop=stop))
        assert (rest, resumed_weight) == (whole[stop:], weight)
    return whole


STREAMS = {"a DataLoader": lambda: DataLoader(Stream(), 2), "batches": Batches}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_saves_its_place_resumes_there(name):
    steps = 15 if name == "a DataLoader" else 30
    whole = check_resume(STREAMS[name], steps)
    assert whole[: steps // 3] != whole[steps // 3 : 2 * steps // 3]  # told the epoch


def test_a_resumed_stream_reads_nothing_again():
    saved = trained(lambda: DataLoader(Stream(), 2), stop=7)
    stream = Stream()
    trained(lambda: DataLoader(stream, 2), resume=saved)
    assert stream.read == 16


def test_a_stream_has_one_place_for_training_and_validation():
    loader = DataLoader(Stream(), 2)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    trainer = Trainer(model, nn.MSELoss(), optimizer, handlers=[ValidateEvery(steps=2)])
    with pytest.raises(ValueError, match="one position for all passes"):
        trainer.fit(loader, loader)


def test_a_stream_in_worker_processes_is_read_again():
    make = lambda: DataLoader(Stream(), 2, num_workers=1)  # noqa: E731
    saved = trained(make, stop=2)
    with pytest.warns(UserWarning, match="a stream with state_dict and load_state_dict"):
        assert trained(make, resume=saved)[0] == trained(make)[0][2:]


TORCHDATA = {
    "a stream": lambda: stateful(Stream(), 2),
    "a stream in a worker": lambda: stateful(Stream(), 2, num_workers=1),
    "a map": lambda: stateful(TensorDataset(*map(torch.stack, zip(*ROWS, strict=True))), 2, True),
    "nodes": nodes,
}


@pytest.mark.filterwarnings("ignore:'set_vital'")
@pytest.mark.parametrize("name", TORCHDATA)
def test_a_pipeline_of_torchdata_resumes_at_its_place(name):
    whole = check_resume(TORCHDATA[name])
    assert name == "nodes" or whole[:5] != whole[5:10]


def test_a_stream_of_hugging_face_is_told_the_epoch_and_keeps_its_place():
    whole = check_resume(hugging_face)
    assert whole[:5] != whole[5:10]


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_shards_of_webdataset_are_read_and_their_place_is_found_again(tmp_path):
    shards = Shards(tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "train_loader .WebLoader. cannot save", UserWarning)
        check_resume(shards.loader)
        gc.collect()  # closes the files that webdataset has left open
