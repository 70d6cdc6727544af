"""`KeyedLoader(device=…)`: columns lie on the device; other batches are copied one ahead."""

import contextlib

import numpy
import pytest
import torch
from torch.utils.data import StackDataset, Subset, TensorDataset, WeightedRandomSampler

from trackside.engine import KeyedLoader, SkipExample
from trackside.engine.data import copied_ahead
from trackside.engine.data import resident_columns as module
from trackside.engine.order.skipping import Reduced
from trackside.events import CancelEpochException

X, Y = torch.arange(22.0).reshape(11, 2), torch.arange(11)
COLUMNS = {
    "tensors": TensorDataset(X, Y),
    "subset": Subset(TensorDataset(X, Y), [3, 1, 4, 1, 5, 9, 2]),
    "arrays": {"x": X.numpy(), "y": numpy.arange(11, dtype=numpy.int16)},
    "nested": StackDataset(a=TensorDataset(X), b=StackDataset(X, Y)),
    "a tensor": X,
}
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Rows:
    """Examples that are read one by one; notes which were read."""

    def __init__(self, **raised):
        self.read = []
        self.raised = {int(name[1:]): error for name, error in raised.items()}

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.read.append(index)
        if index in self.raised:
            raise self.raised[index]
        return torch.tensor([float(index)])


def flat(batch):
    if isinstance(batch, torch.Tensor):
        return [batch]
    parts = batch.values() if isinstance(batch, dict) else batch
    return [tensor for part in parts for tensor in flat(part)]


def equal(one, other):
    same = [*zip(flat(one), flat(other), strict=True)]
    return type(one) is type(other) and all(a.equal(b) and a.dtype == b.dtype for a, b in same)


@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"drop_last": True}])
@pytest.mark.parametrize("name", COLUMNS)
def test_columns_on_a_device_give_the_same_batches(name, options):
    data = COLUMNS[name]
    plain, there = KeyedLoader(data, 3, **options), KeyedLoader(data, 3, **options, device="cpu")
    for _ in range(2):
        assert all(map(equal, plain, there))
    assert there.position == plain.position


def test_columns_on_a_device_are_sampled():
    sampler = WeightedRandomSampler([1.0] * 11, 7)
    plain = KeyedLoader(X, 3, sampler=sampler)
    assert all(map(equal, plain, KeyedLoader(X, 3, sampler=sampler, device="cpu")))


def test_columns_lie_on_the_device():
    loader = KeyedLoader(COLUMNS["tensors"], 4, shuffle=True, device="meta")
    assert {tensor.device.type for batch in loader for tensor in batch} == {"meta"}


def test_columns_that_do_not_fit_are_copied_batch_by_batch(monkeypatch, caplog):
    monkeypatch.setattr(module, "_free", lambda device: 2 * X.nbytes - 1)
    loader = KeyedLoader(X, 4, device="cpu")
    assert "batches are copied" in caplog.text
    assert torch.cat(list(loader)).equal(X)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_is_read_before_the_one_before_is_used(workers):
    data = Rows()
    loader = KeyedLoader(data, 2, device="cpu", num_workers=workers)
    for place, _ in enumerate(loader):
        read = min(6, 2 * (place + 2))
        assert workers or data.read == [*range(read)]
        assert loader.position == ((0, place + 1) if place < 2 else (1, 0))


def test_a_loader_that_reads_ahead_resumes_at_the_batch_after_the_one_that_was_used():
    loader, other = (KeyedLoader(Rows(), 2, shuffle=True, device="cpu") for _ in range(2))
    batches = iter(loader)
    next(batches)
    other.load_state_dict(loader.state_dict())
    assert all(map(equal, batches, other))


@pytest.mark.parametrize("error", [OSError("broken"), CancelEpochException()])
def test_what_a_batch_raises_is_raised_after_the_batch_before(error):
    batches = iter(KeyedLoader(Rows(i4=error), 2, device="cpu"))
    assert [next(batches).flatten().tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(type(error)):
        next(batches)


def test_skipped_examples_are_skipped_ahead():
    loader = KeyedLoader(
        Rows(i1=SkipExample(), i2=SkipExample(), i3=SkipExample()), 2, device="cpu"
    )
    assert [batch.flatten().tolist() for batch in loader] == [[0], [4, 5]]
    assert loader.skipped == (3, 1)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", 1.5])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ValueError, match=r"\(device=.*allowed: a device of this machine"):
        KeyedLoader(X, device=device)


@gpu
@pytest.mark.parametrize("data", [TensorDataset(X, Y), Rows()])
def test_batches_of_a_gpu_are_those_of_the_cpu(data):
    plain, there = KeyedLoader(data, 3, True), KeyedLoader(data, 3, True, device="cuda")
    for one, other in zip(plain, there, strict=True):
        assert all(tensor.is_cuda for tensor in flat(other))
        assert equal(one, [t.cpu() for t in other] if isinstance(other, list) else other.cpu())


def test_a_copier_with_a_stream_keeps_reduced_batches_what_they_are(monkeypatch):
    class Event:
        def record_event(self):
            return "event"

        def wait_event(self, event):
            assert event == "event"

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Event())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Event())
    monkeypatch.setattr(copied_ahead._CudaCopier, "copied", lambda self, tensor: tensor)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)
    pair, stop = (torch.ones(2), torch.zeros(2)), CancelEpochException("stop")
    batches = [Reduced(pair, ("one",), None), Reduced(None, (), stop), pair]
    found = [*copied_ahead.copied_ahead(iter(batches), torch.device("cuda:0"))]
    assert [type(each) for each in found] == [Reduced, Reduced, tuple]
    assert found[0].batch is not None
    assert equal(found[0].batch, pair)
    assert found[1] == batches[1]
