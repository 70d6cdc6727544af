"""Recordings that the tests share: made by real fits, in this process or in another."""

import subprocess
import sys

from forked import WITH_TEST_HELPERS, Forked
from helpers import batches, trainer_of
from ranks import Ranks

from trackside.handlers import Recorder
from trackside.views import Recording

ENDLESS = """
import itertools, sys
from helpers import batches, trainer_of
from trackside.handlers import Recorder

class Tells:
    def begin_batch(self, trainer, state):
        if (state.epoch, state.batch_index) == (2, 5):
            print("there", flush=True)
            STOP

trainer = trainer_of(Tells(), Recorder(sys.argv[1], timing=True))
trainer.fit(batches(7), epochs=10)
"""


def recorded(path, *handlers, epochs=2, train=5, valid=2, **options):
    """A recording of a fit that has ended."""
    trainer = trainer_of(*handlers, Recorder(path, **options))
    trainer.fit(batches(train), batches(valid), epochs=epochs)
    return Recording(path)


def recorded_ranks(folder, monkeypatch, run, *handlers, timing=True):
    """Two ranks, as threads, with a recorder each; `run(rank, trainer)` is called in them."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    trainers = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        recorder = Recorder(folder / "run.loop", timing=timing)
        trainers.append(trainer_of(*handlers, recorder))

    def work(rank, agreement):
        trainers[rank].agreement = agreement
        run(rank, trainers[rank])

    Ranks(2, ()).run(work)
    return [Recording(folder / f"run.rank{rank}.loop") for rank in range(2)]


def started(path, stop, popen=Forked):
    """A process whose fit executes `stop` at batch 5 of epoch 2; it has got there."""
    command = [sys.executable, "-c", ENDLESS.replace("STOP", stop), str(path)]
    process = popen(command, env=WITH_TEST_HELPERS, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    return process
