"""Recorded fits for the tests of the live page, and the process that serves the page."""

import contextlib
import re
import subprocess
import sys
import time
from pathlib import Path

from forked import COMMAND, ENVIRONMENT, WITH_TEST_HELPERS, Forked
from helpers import batches, trainer_of

from trackside.events import CancelBatchException
from trackside.handlers import Metrics, Recorder
from trackside.views import Recording, status

WAITING_FIT = """
import sys
from watched import fit

class WaitForInput:
    def after_loss(self, trainer, state):
        if state.training and (state.epoch, state.batch_index) == (1, 7):
            print("waiting", flush=True)
            sys.stdin.readline()

fit(sys.argv[1], WaitForInput())
print("done", flush=True)
"""

ENDLESS_FIT = """
import sys
from helpers import batches, trainer_of
from trackside.handlers import Recorder
from watched import EMPTY

trainer = trainer_of(Recorder(sys.argv[1]), activities=EMPTY)
trainer.fit(batches(1) * 10_000_000, epochs=1)
"""

TOKEN = "a-token-for-the-tests"
PATIENCE = 300
"""Timeout in seconds, for operations that take a fraction of one."""


class CancelOneBatch:
    """Cancels one batch of each epoch."""

    def after_loss(self, trainer, state):
        if state.training and state.batch_index == 5:
            raise CancelBatchException("too <b>hard</b>")


class NamedLikeMarkup:
    """Has a name that a page would run if it inserted it as HTML."""

    def after_batch(self, trainer, state):
        pass


MARKUP = "<script>document.title = 'taken'</script>"
NamedLikeMarkup.__name__ = MARKUP


def fit(path, *handlers):
    """Record a fit of four epochs of twelve batches."""
    recorder = Recorder(path, timing=True, scalars=3)
    trainer = trainer_of(Metrics(), *handlers, CancelOneBatch(), NamedLikeMarkup(), recorder)
    trainer.fit(batches(12), batches(4), epochs=4)


EMPTY = {
    "forward": lambda state: "after_pred",
    "loss": lambda state: "after_loss",
    "backward": lambda state: "after_backward",
    "step": lambda state: "after_step",
    "zero_grad": lambda state: "after_batch",
}


def record_many(path, records):
    """Record a fit with empty activities, of at least `records` records."""
    recorder = Recorder(path, records=2**20, timing=True)
    trainer = trainer_of(NamedLikeMarkup(), recorder, activities=EMPTY)
    trainer.fit(batches(1) * (records // 40), epochs=4)


@contextlib.contextmanager
def training(path):
    """A process whose fit waits for a line on stdin, after the loss of batch 7 of epoch 1."""
    with Forked(
        [sys.executable, "-c", WAITING_FIT, str(path)],
        env=WITH_TEST_HELPERS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert read_line(process) == "waiting"
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def endless(path):
    """A process with an endless fit with empty activities; it is running."""
    command = [sys.executable, "-c", ENDLESS_FIT, str(path)]
    with Forked(command, env=WITH_TEST_HELPERS) as process:
        try:
            wait_until(path.exists)
            with Recording(path) as recording:
                wait_until(lambda: status(recording).condition == "running")
            yield
        finally:
            process.kill()


def read_line(process):
    """The next line on the stdout of a process."""
    return process.stdout.readline().strip()


def finish_training(process):
    """Let the fit of `training` run to its end."""
    process.stdin.write("\n")
    process.stdin.flush()
    assert read_line(process) == "done"


@contextlib.contextmanager
def watching(*arguments):
    """Run `trackside watch` in a process; yields its address, with the token."""
    command = [COMMAND, "watch", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Forked(command, env=ENVIRONMENT, text=True, **pipes) as process:
        try:
            address = process.stdout.readline().strip()
            assert re.match(r"http://\S+/\?token=\S+$", address), process.stderr.read()
            yield address
        finally:
            process.terminate()


def wait_until(condition, timeout=PATIENCE):
    """Call `condition()` until its result is true; returns the result."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"the condition did not become true within {timeout} s")


def wait_until_drawn(page):
    """Wait until a page has drawn what it was told, by keys for instance."""
    wait_until(lambda: not page.evaluate("trackside.pending"))


def screenshots():
    """The folder for pictures of the page."""
    folder = Path(__file__).parents[1] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
