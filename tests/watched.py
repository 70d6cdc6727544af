"""What the tests of the live page watch, and the process of the page."""

import contextlib
import os
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from helpers import batches, trainer_of

from trackside.events import CancelBatchException
from trackside.handlers import Metrics, Recorder
from trackside.views import Recording, status

COMMAND = os.path.join(sysconfig.get_path("scripts"), "trackside")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
OWN = {**ENVIRONMENT, "PYTHONPATH": os.path.dirname(__file__)}

SCRIPT = """
import sys
from watched import fit

class Waits:
    def after_loss(self, trainer, state):
        if state.training and (state.epoch, state.batch_index) == (1, 7):
            print("waiting", flush=True)
            sys.stdin.readline()

fit(sys.argv[1], Waits())
print("done", flush=True)
"""

ENDLESS = """
import sys
from helpers import batches, trainer_of
from trackside.handlers import Recorder
from watched import EMPTY

trainer = trainer_of(Recorder(sys.argv[1]), activities=EMPTY)
trainer.fit(batches(1) * 10_000_000, epochs=1)
"""

TOKEN = "a-token-that-was-chosen"
PATIENCE = 300
"""Seconds for an answer that takes a fraction of one."""


class Cancels:
    """One batch of each epoch."""

    def after_loss(self, trainer, state):
        if state.training and state.batch_index == 5:
            raise CancelBatchException("too <b>hard</b>")


class Named:
    """Has a name that a careless page would run."""

    def after_batch(self, trainer, state):
        pass


MARKUP = "<script>document.title = 'taken'</script>"
Named.__name__ = MARKUP


def fit(path, *handlers):
    """A fit of four epochs of twelve batches, recorded."""
    recorder = Recorder(path, timing=True, scalars=3)
    trainer = trainer_of(Metrics(), *handlers, Cancels(), Named(), recorder)
    trainer.fit(batches(12), batches(4), epochs=4)


EMPTY = {
    "forward": lambda state: "after_pred",
    "loss": lambda state: "after_loss",
    "backward": lambda state: "after_backward",
    "step": lambda state: "after_step",
    "zero_grad": lambda state: "after_batch",
}


def record_many(path, records):
    """A fit whose batches are no work, of at least so many records."""
    recorder = Recorder(path, records=2**20, timing=True)
    trainer = trainer_of(Named(), recorder, activities=EMPTY)
    trainer.fit(batches(1) * (records // 40), epochs=4)


@contextlib.contextmanager
def training(path):
    """A process with a fit that waits in batch 7 of epoch 1, its loss known, for a line."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path)],
        env=OWN,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert said(process) == "waiting"
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def endless(path):
    """A process with a fit whose batches are no work; it has begun."""
    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)], env=OWN) as process:
        try:
            until(path.exists)
            with Recording(path) as recording:
                until(lambda: status(recording).condition == "running")
            yield
        finally:
            process.kill()


def said(process):
    """The next line that a training process says."""
    return process.stdout.readline().strip()


def go_on(process):
    """Let it train to its end."""
    process.stdin.write("\n")
    process.stdin.flush()
    assert said(process) == "done"


@contextlib.contextmanager
def watching(*arguments):
    """`trackside watch` in a process of its own; its address, with the token."""
    command = [COMMAND, "watch", *map(str, arguments)]
    with subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            address = process.stdout.readline().strip()
            assert re.match(r"http://\S+/\?token=\S+$", address), process.stderr.read()
            yield address
        finally:
            process.terminate()


def until(condition, within=PATIENCE):
    """What `condition()` gives when it holds; asked again and again."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"it never came to be within {within} s")


def screenshots():
    """Where pictures of the page are kept."""
    folder = Path(__file__).parents[1] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
