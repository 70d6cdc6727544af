import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from forked import WITH_TEST_HELPERS, Forked
from helpers import Trace, batches, trainer_of

from trackside.engine import interruptible
from trackside.handlers import Checkpoint

SERVER = Path(__file__).parents[2] / "interrupted.py"


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def send(number):
    """A handler that sends a signal to this process."""
    return lambda trainer, state: signal.raise_signal(number)


# one signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_requests_a_cancel_of_the_fit(number):
    trace = Trace()
    trainer = trainer_of(trace)
    trainer.on("after_loss", once=True)(send(number))
    with interruptible(trainer) as interruption:
        state = trainer.fit(batches(2), batches(1), epochs=2)
    assert trace.signals[-5:] == [
        *("after_batch", "after_train", "after_epoch", "after_cancel_fit", "after_fit"),
    ]
    assert state.cancel.reason == f"received {number.name}"
    assert interruption.signal is number


def test_a_fit_cancelled_by_a_signal_is_saved_and_resumes(tmp_path):
    def trainer():
        return trainer_of(Checkpoint(tmp_path))

    stopped = trainer()
    stopped.on("after_loss", once=True)(send(signal.SIGTERM))
    with interruptible(stopped):  # a warning would fail this test
        assert stopped.fit(batches(3), epochs=2).outcome == "cancelled"
    state = trainer().fit(batches(3), resume=tmp_path)
    assert (state.outcome, state.epoch, state.step) == ("completed", 1, 5)


def test_signal_handlers_are_restored_when_the_block_ends():
    def own(number, frame):
        pass

    trainer = trainer_of()
    before = signal.signal(signal.SIGTERM, own)
    try:
        found = handlers()
        with interruptible(trainer):
            assert own not in handlers()
        assert handlers() == found
        with pytest.raises(ZeroDivisionError), interruptible(trainer):
            raise ZeroDivisionError
        assert handlers() == found
    finally:
        signal.signal(signal.SIGTERM, before)
    assert trainer.handlers == []


def test_a_signal_between_two_fits_cancels_the_next_one_as_it_begins():
    trace = Trace()
    trainer = trainer_of(trace)
    with interruptible(trainer):
        signal.raise_signal(signal.SIGTERM)
        state = trainer.fit(batches(2))
    assert trace.signals == ["begin_fit", "after_cancel_fit", "after_fit"]
    assert state.cancel.reason == "received SIGTERM"
    assert trainer.fit(batches(1)).outcome == "completed"


def test_a_fit_resumed_after_a_signal_is_cancelled_at_once():
    trainer = trainer_of()
    for transition in trainer.steps(batches(2), epochs=2):
        if transition.trigger == "after_epoch":
            saved = trainer.state_dict()
            break
    trace = Trace()
    with interruptible(trainer), trainer.attach(trace):
        signal.raise_signal(signal.SIGINT)
        trainer.fit(batches(2), resume=saved)
    assert trace.signals == ["after_cancel_fit", "after_fit"]


def test_every_fit_in_the_block_after_a_signal_is_cancelled():
    trainer = trainer_of()
    trainer.on("after_loss", once=True)(send(signal.SIGINT))
    with interruptible(trainer):
        outcomes = [trainer.fit(batches(1)).outcome for _ in range(3)]
    assert outcomes == ["cancelled"] * 3


def test_a_signal_cancels_a_fit_in_the_background():
    trainer = trainer_of()
    with interruptible(trainer), trainer.start(batches(1), epochs=10**9) as run:
        signal.raise_signal(signal.SIGTERM)
        assert run.result(60).cancel.reason == "received SIGTERM"


def test_validate_is_interrupted_only_by_the_second_signal():
    trainer = trainer_of()
    trainer.on("after_pred")(send(signal.SIGINT))
    with interruptible(trainer), pytest.raises(KeyboardInterrupt):
        trainer.validate(batches(3))
    assert trainer.state.phase == "failed"


# two signals, and without interruptible


def test_the_second_signal_raises_keyboard_interrupt():
    trace = Trace()
    trainer = trainer_of(trace)
    trainer.on("after_loss", once=True)(send(signal.SIGTERM))
    trainer.on("after_loss", once=True)(send(signal.SIGINT))
    with interruptible(trainer), pytest.raises(KeyboardInterrupt, match="SIGINT, after SIGTERM"):
        trainer.fit(batches(2))
    assert trace.signals[-2:] == ["after_error", "after_fit"]
    assert trainer.state.phase == "failed"


def test_without_interruptible_keyboard_interrupt_unwinds_and_escapes():
    trace = Trace()
    trainer = trainer_of(trace)
    trainer.on("after_loss", once=True)(send(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(batches(2))
    assert trace.signals[-5:] == [
        *("after_batch", "after_train", "after_epoch", "after_error", "after_fit"),
    ]


def interrupted_at(trainer, at):
    """Interrupt a fit at the `at`-th call or return; whether the fit got that far."""
    left = at

    def interrupt(frame, event, argument):
        nonlocal left
        left -= event in ("call", "return", "c_return")
        if left == 0:
            sys.setprofile(None)
            raise KeyboardInterrupt

    trainer.on("begin_fit", once=True)(lambda trainer, state: sys.setprofile(None))
    before = sys.getprofile()
    sys.setprofile(interrupt)
    try:
        trainer.fit(batches(1))
    except KeyboardInterrupt:
        assert trainer.state.phase in ("idle", "failed")
    finally:
        sys.setprofile(before)
    return left == 0


# Python swallows an exception that is raised in a finalizer
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_anywhere_in_the_start_of_a_fit_leaves_the_trainer_free():
    for place in itertools.count(1, 131):
        trainer = trainer_of()
        interrupted = interrupted_at(trainer, place)
        assert trainer.fit(batches(1)).outcome == "completed", f"after {place} calls"
        if not interrupted:
            break
    assert place > 1_000


def test_an_interrupt_while_the_trainer_is_locked_leaves_it_free():
    trainer = trainer_of()

    def interrupt(frame, event, argument):
        if event == "c_return" and frame.f_code.co_qualname == "Engine._drive":
            sys.setprofile(None)
            raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(batches(1))
    finally:
        sys.setprofile(before)
    assert trainer.fit(batches(1)).outcome == "completed"


def test_an_interrupt_while_a_run_is_closed_leaves_the_trainer_free():
    trainer = trainer_of()
    interrupted = []

    def interrupt(frame, event, argument):
        if frame.f_code.co_qualname == "Requests.end_run" and trainer.state.samples:
            interrupted.append(trainer.state.phase)
            raise KeyboardInterrupt

    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(batches(1))
    finally:
        sys.settrace(before)
    assert interrupted == ["completed"]
    assert trainer.fit(batches(1)).outcome == "completed"


# what is refused


def test_any_thread_but_the_main_one_is_refused():
    messages = []

    def enter():
        try:
            interruptible(trainer_of()).__enter__()
        except RuntimeError as error:
            messages.append(str(error))

    thread = threading.Thread(target=enter, name="worker")
    thread.start()
    thread.join()
    assert messages == [
        "interruptible handles signals, which Python allows only in the main thread; in worker "
        "use trainer.request(CancelFitException(…))"
    ]


# at random times


class Server:
    """Starts the server of child processes and reads its output."""

    def __init__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [sys.executable, SERVER]
        self.process = Forked(command, env=WITH_TEST_HELPERS, text=True, **pipes)

    def start_child(self, kind):
        print(kind, file=self.process.stdin, flush=True)
        return int(self.read_line())

    def read_line(self):
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()


@pytest.fixture(scope="module")
def server():
    made = Server()
    yield made
    made.close()


def check_one(server, random, kind, number):
    """Send a child its signal at a random time, and check its report and exit code."""
    child = server.start_child(kind)
    if kind == "twice":
        assert server.read_line() == "blocked"
        os.kill(child, signal.SIGTERM)
    else:
        time.sleep(random.expovariate(100))  # seconds: a few hundred transitions
    os.kill(child, number)
    report = json.loads(server.read_line())
    assert isinstance(report, dict), f"{kind}: it ended with {report} and without a report"
    code = int(server.read_line())
    phases = {"asked": ["cancelled"], "twice": ["failed"], "bare": ["failed", "idle"]}
    assert report.pop("phase") in phases[kind]
    assert report == {"closed": True, "ended": True, "restored": True, "fits_again": "completed"}
    assert code == 128 + (number if kind == "asked" else signal.SIGINT)


def check(server, count, seed):
    chosen = random.Random(seed)
    for _ in range(count):
        kind = chosen.choice(["asked", "asked", "bare", "twice"])
        numbers = [signal.SIGINT, signal.SIGTERM] if kind == "asked" else [signal.SIGINT]
        check_one(server, chosen, kind, chosen.choice(numbers))


def test_signals_at_random_times_close_all_scopes_and_set_the_exit_code(server):
    check(server, 30, seed=0)


@pytest.mark.long
def test_two_hundred_signals_at_random_times_close_all_scopes(server):
    check(server, 200, seed=1)
