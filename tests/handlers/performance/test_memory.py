import resource
import sys

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    equal,
    every_cancel,
    model,
    state_of,
    trainer_of,
    weights,
)
from nets import undisturbed

from trackside.handlers import History, Metrics
from trackside.handlers.performance.memory import Memory

MIB = 2**20


def process_peak():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


def test_each_epoch_reports_the_process_peak_in_mib():
    history = History()
    before = process_peak()
    trainer_of(history, Memory()).fit(batches(), batches(1), epochs=2)
    peaks = [row["peak_memory"] for row in history.rows]
    slack = 1  # MiB: the kernel sums it over processors, so it is not exact
    assert before - slack <= peaks[0] <= peaks[1] + slack <= process_peak() + 2 * slack
    assert 50 < before < 1e6


def test_peak_is_that_of_training_without_validation():
    trainer = trainer_of(Memory())
    trainer.fit(batches())
    assert trainer.state.metrics["peak_memory"] > 0


def test_validate_reports_the_peak_and_predict_does_not():
    trainer = trainer_of(Memory(), Metrics())
    trainer.predict(batches(1))
    assert "peak_memory" not in trainer.state.metrics
    assert trainer.validate(batches(1)).keys() == {"valid_loss", "peak_memory"}


class Allocator:
    """Fake peak statistics of a CUDA device."""

    def __init__(self, monkeypatch):
        self.peak, self.queried = 0, []
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", self.reset)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", self.read)

    def reset(self, device):
        self.queried.append(device)
        self.peak = 0

    def read(self, device):
        self.queried.append(device)
        return self.peak


@pytest.fixture
def cuda(monkeypatch):
    return Allocator(monkeypatch)


def on_cuda(**fields):
    return state_of(device=torch.device("cuda", 1), **fields)


def test_cuda_peak_is_measured_per_epoch(cuda):
    memory, state, peaks = Memory(), on_cuda(), []
    for training, validating in ((3, 5), (4, 2)):
        memory.begin_epoch(None, state)
        cuda.peak = max(cuda.peak, training * MIB)
        memory.after_train(None, state)
        peaks.append(state.metrics["peak_memory"])
        memory.begin_validate(None, state)
        cuda.peak = max(cuda.peak, validating * MIB)
        memory.after_validate(None, state)
        peaks.append(state.metrics["peak_memory"])
    assert peaks == [3, 5, 4, 4]
    assert set(cuda.queried) == {torch.device("cuda", 1)}


def test_cuda_peak_of_validate_is_separate(cuda):
    memory, state = Memory(), on_cuda(job="validate")
    cuda.peak = 9 * MIB
    memory.begin_validate(None, state)
    cuda.peak = 2 * MIB
    memory.after_validate(None, state)
    assert state.metrics["peak_memory"] == 2


def test_device_defaults_to_that_of_the_model(cuda):
    memory, state = Memory(), state_of()
    memory.after_train(None, state)
    assert state.metrics["peak_memory"] >= process_peak() / 2
    state.model = torch.nn.Identity()
    memory.after_train(None, state)
    assert cuda.queried == []


def test_missing_resource_module_raises_at_attach(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    trainer = trainer_of()
    with pytest.raises(ImportError, match="Memory cannot measure on cpu"):
        trainer.attach(Memory())
    assert trainer.handlers == []


def test_training_is_bitwise_unchanged():
    plain, watched = trainer_of(), trainer_of(Memory())
    for trainer in (plain, watched):
        trainer.fit(batches(), batches(), epochs=2)
    assert equal(weights(plain), weights(watched))


def test_no_device_sync():
    trainer = trainer_of(Memory(), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.metrics["peak_memory"] > 0


def test_detach_during_fit_stops_reporting():
    memory = Memory()
    trainer = trainer_of(memory)
    trainer.on("begin_epoch", when=lambda t, s: s.epoch == 1)(lambda t, state: t.detach(memory))
    trainer.fit(batches(), epochs=2)
    assert "peak_memory" not in trainer.state.metrics


@every_cancel
def test_any_cancel_leaves_training_unchanged_and_next_fit_reports(signal, scope):
    trainer = cancelled_fit(Memory(), signal, scope, early=False)
    assert equal(weights(trainer), undisturbed(signal, scope))
    trainer.fit(batches(), batches(1))
    assert trainer.state.metrics["peak_memory"] > 0
