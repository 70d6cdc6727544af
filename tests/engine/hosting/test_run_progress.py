import time

import pytest
import torch
from helpers import model, state_of, trainer_of

from trackside.engine.hosting.run_progress import Stopwatch, read_status, unreadable_status
from trackside.events import CancelFitException

TRAINING = "fit.epoch.train.batch.forward"


def status_of(seconds=0.0, paused=False, at_start=(0, 0.0), **fields):
    clock = Stopwatch()
    clock._elapsed = seconds
    return read_status(state_of(**fields), clock, paused, at_start)


# the status


def test_the_rate_counts_training_examples_since_the_run_began():
    assert status_of(seconds=2.0, samples=640).rate == 320
    assert status_of(seconds=2.0, samples=640, at_start=(600, 0.0)).rate == 20


def test_at_the_start_the_rate_and_the_time_left_are_unknown():
    status = status_of(phase="fit.ready", n_epochs=3)
    assert (status.rate, status.left) == (None, None)


def test_the_time_left_is_that_of_the_remaining_epochs_at_the_rate_so_far():
    running = {"phase": TRAINING, "batch_index": 2, "n_batches": 4, "training": True}
    assert status_of(seconds=3.0, epoch=1, n_epochs=4, **running).left == pytest.approx(5.0)
    begun = status_of(seconds=3.0, epoch=2, n_epochs=4, at_start=(0, 0.25), **running)
    assert begun.left == pytest.approx(3.0)


def test_no_time_is_left_after_more_epochs_than_requested():
    assert status_of(seconds=3.0, phase="completed", epoch=4, n_epochs=3).left == 0.0


def test_a_status_has_the_counters_and_a_copy_of_the_metrics():
    metrics = {"train_loss": 1.0}
    status = status_of(paused=True, epoch=1, step=5, samples=9, metrics=metrics)
    metrics["train_loss"] = 2.0
    assert (status.epoch, status.step, status.samples, status.paused) == (1, 5, 9, True)
    assert dict(status.metrics) == {"train_loss": 1.0}


def test_a_status_reads_no_tensor():
    status = status_of(seconds=1.0, metrics={"loss": torch.ones((), device="meta")}, samples=3)
    assert status.metrics["loss"].device.type == "meta"


def test_an_unreadable_state_has_a_status_of_what_can_be_read():
    cancel = CancelFitException("enough")
    status = unreadable_status(state_of(epoch="one", metrics={"loss": 1.0}, cancel=cancel), 2.0)
    assert (status.epoch, status.reason, dict(status.metrics)) == ("one", "enough", {"loss": 1.0})
    assert (status.seconds, status.rate, status.left, status.paused) == (2.0, None, 0.0, False)
    status = unreadable_status(state_of(metrics=None, cancel="no cancel"), 2.0)
    assert (status.reason, dict(status.metrics)) == ("", {})


# the clock


def test_a_stopwatch_counts_the_time_between_start_and_stop(monkeypatch):
    now = 10.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watch = Stopwatch()
    now += 1
    assert watch.seconds == 0
    watch.start()
    now += 2
    watch.start()
    assert watch.seconds == 2
    watch.stop()
    now += 4
    watch.stop()
    assert watch.seconds == 2
    watch.start()
    now += 8
    assert watch.seconds == 10


def test_the_status_of_a_run_on_the_meta_device_is_read_without_a_sync():
    data = [(torch.zeros(4, 5, device="meta"), torch.zeros(4, dtype=torch.long, device="meta"))]
    trainer = trainer_of(net=model().to("meta"))
    trainer.on("after_loss")(lambda trainer, state: state.metrics.update(loss=state.loss))
    with trainer.start(data, epochs=1_000_000) as run:
        while "loss" not in run.status().metrics:
            assert not run.done()
