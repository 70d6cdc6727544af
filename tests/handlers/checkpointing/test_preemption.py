import os
import signal
import threading

import crash
import preempted
import pytest
import torch
from helpers import batches, trainer_of
from patience import until

from trackside.engine import latest
from trackside.engine.checkpoint.manifest import Manifest
from trackside.handlers import Checkpoint, Compile, Preemption

RESTORED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return preempted.undisturbed(tmp_path_factory.mktemp("undisturbed") / "runs")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize(
    ("place", "phase"),
    [
        ("training", "fit.epoch.train.fetch"),
        ("fetching", "fit.epoch.train.fetch"),
        ("validating", "fit.epoch.validate.fetch"),
        ("compiling", "fit.epoch.train.fetch"),
    ],
)
def test_a_signal_saves_the_fit_at_the_next_boundary_and_exits(
    tmp_path, undisturbed, place, phase, number
):
    process = crash.started(preempted.fit, tmp_path, place)
    until((tmp_path / "here").exists)
    os.kill(process.pid, number)
    assert process.wait(300) == 128 + number
    assert (tmp_path / "closed").read_text() == "cancelled"
    facts = Manifest.read(latest(tmp_path / "runs")).facts
    assert (facts["why"], facts["phase"]) == ("cancelled", phase)
    if place in ("training", "validating"):
        assert (facts["epoch"], facts["batch"]) == (1, 2)
    compiled = [Compile(backend="eager")] if place == "compiling" else []
    assert same(preempted.resumed(tmp_path / "runs", *compiled), undisturbed)


def test_a_signal_to_the_process_group_with_workers_saves_the_fit(tmp_path, undisturbed):
    process = crash.started(preempted.fit_with_workers, tmp_path)
    until((tmp_path / "here").exists)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(300) == 143
    assert Manifest.read(latest(tmp_path / "runs")).facts["why"] == "cancelled"
    assert same(preempted.resumed(tmp_path / "runs"), undisturbed)


class Sends:
    """Sends this process a signal after the first training batch of an epoch."""

    def __init__(self, *numbers, epoch=1):
        self.numbers, self.epoch = numbers, epoch

    def after_batch(self, trainer, state):
        if state.training and (state.epoch, state.batch_index) == (self.epoch, 0):
            for number in self.numbers:
                os.kill(os.getpid(), number)


def handlers_of_signals():
    return [signal.getsignal(number) for number in RESTORED]


def fitted(folder, *handlers, **options):
    trainer = trainer_of(*handlers, Checkpoint(folder), Preemption(**options))
    trainer.fit(batches(3), batches(2), epochs=3)
    return trainer


def test_signal_handlers_are_restored_when_the_fit_ends(tmp_path):
    before = handlers_of_signals()
    meanwhile = []

    class Looks:
        def begin_epoch(self, trainer, state):
            meanwhile.append(handlers_of_signals()[:2] != before[:2])

    fitted(tmp_path / "whole", Looks())
    assert handlers_of_signals() == before
    with pytest.raises(SystemExit):
        fitted(tmp_path / "cut", Looks(), Sends(signal.SIGTERM))
    assert handlers_of_signals() == before
    assert meanwhile
    assert all(meanwhile)


class Fails:
    def begin_epoch(self, trainer, state):
        raise ValueError("on purpose")

    def begin_fit(self, trainer, state):
        pass


def test_signal_handlers_are_restored_after_an_error_and_on_detach(tmp_path):
    before = handlers_of_signals()
    with pytest.raises(ValueError, match="on purpose"):
        fitted(tmp_path / "a", Fails())
    assert handlers_of_signals() == before
    preemption = Preemption()
    trainer = trainer_of(Checkpoint(tmp_path / "b"), preemption)
    trainer.on("begin_epoch")(lambda trainer, state: trainer.detach(preemption))
    trainer.on("begin_train")(lambda trainer, state: after.append(handlers_of_signals()))
    after = []
    trainer.fit(batches(2))
    assert after == [before]


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ((signal.SIGTERM,), 143),
        ((signal.SIGUSR1,), 128 + signal.SIGUSR1),
        ((signal.SIGTERM, signal.SIGTERM, signal.SIGTERM), 143),
    ],
)
def test_the_exit_code_is_that_of_the_signal_even_if_repeated(tmp_path, numbers, code):
    with pytest.raises(SystemExit) as caught:
        fitted(tmp_path, Sends(*numbers))
    assert caught.value.code == code


def test_other_signals_can_be_chosen(tmp_path):
    with pytest.raises(SystemExit) as caught:
        fitted(tmp_path, Sends(signal.SIGUSR2), signals=[signal.SIGUSR2])
    assert caught.value.code == 128 + signal.SIGUSR2


def test_a_signal_wins_over_a_later_error(tmp_path):
    class FailsAfterwards(Sends):
        def after_batch(self, trainer, state):
            super().after_batch(trainer, state)
            if trainer.state.epoch == 1:
                raise ValueError("on purpose")

    with pytest.raises(SystemExit) as caught:
        fitted(tmp_path, FailsAfterwards(signal.SIGTERM))
    assert caught.value.code == 143
    assert "on purpose" in "".join(caught.value.__notes__)


class Breaks(list):
    """A loader that fails in its last batch, as one whose workers were killed by the signal."""

    number = None

    def __iter__(self):
        yield from self[:-1]
        if self.number is not None:
            os.kill(os.getpid(), self.number)
        raise RuntimeError("worker exited unexpectedly")


@pytest.mark.parametrize("number", [signal.SIGTERM, None])
def test_an_error_of_a_loader_is_one_unless_a_signal_has_come(tmp_path, number):
    loader = Breaks(batches(3))
    loader.number = number
    trainer = trainer_of(Checkpoint(tmp_path), Preemption())
    with pytest.raises(SystemExit if number else RuntimeError) as caught:
        trainer.fit(loader)
    assert caught.value.args[0] == (128 + number if number else "worker exited unexpectedly")
    why = Manifest.read(latest(tmp_path)).facts["why"]
    assert why == ("cancelled" if number else "failed")


def test_a_fit_outside_of_the_main_thread_is_refused(tmp_path):
    trainer = trainer_of(Checkpoint(tmp_path), Preemption())
    errors = []

    def run():
        try:
            trainer.fit(batches(2))
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, name="background")
    thread.start()
    thread.join()
    assert "runs in background: call trainer.fit in the main thread" in errors[0]


@pytest.mark.parametrize("options", [None, {"on_cancel": False}])
def test_without_a_checkpoint_that_saves_on_cancel_it_is_refused(tmp_path, options):
    checkpoints = [] if options is None else [Checkpoint(tmp_path, **options)]
    with pytest.raises(RuntimeError, match="attach a Checkpoint with on_cancel=True"):
        trainer_of(*checkpoints, Preemption()).fit(batches(2))


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        ([], "at least one"),
        ([signal.SIGKILL], "no process can handle SIGKILL"),
        ([signal.SIGTERM, signal.SIGSTOP], "no process can handle SIGSTOP"),
        ([1000], "1000 is not a valid Signals"),
    ],
)
def test_wrong_signals_are_refused(signals, said):
    with pytest.raises(ValueError, match=said):
        Preemption(signals=signals)


def test_validate_outside_of_a_fit_is_not_ended_by_a_signal(tmp_path):
    before = handlers_of_signals()
    trainer = trainer_of(Sends(signal.SIGTERM, epoch=0), Checkpoint(tmp_path), Preemption())
    with pytest.raises(SystemExit):
        trainer.fit(batches(2))
    trainer.on("after_batch")(lambda trainer, state: seen.append(handlers_of_signals()))
    seen = []
    trainer.validate(batches(2))
    assert seen == [before] * 2
