"""Cuts of a recording that is written; each in a process of its own, which a fault would end."""

import mmap
import signal
import sys
import types

import pytest
from forked import WITH_TEST_HELPERS, run_forked

from trackside.handlers.recording import _replaceable_map
from trackside.handlers.recording._replaceable_map import ReplaceableMap

COMMANDS = [
    "echo short > note && cp note run.loop",
    "> run.loop",
    "truncate -s 0 run.loop && truncate -s 64M run.loop",
]

CUT_FITS = """
import logging, os, subprocess, sys
from helpers import batches, trainer_of
from trackside.handlers import Recorder
from trackside.views import Recording, status

folder, *commands = sys.argv[1:]
logging.basicConfig(format="%(exc_text)s%(message)s", stream=sys.stdout)
for command in commands:
    cut = Recorder(f"{folder}/run.loop", timing=True)
    other = Recorder(f"{folder}/other.loop", records=256)
    trainer = trainer_of(cut, other)

    @trainer.on("after_loss", once=True)
    def cut_it(trainer, state):
        os.chmod(cut.path, 0o600)  # root needs no permission
        subprocess.run(["sh", "-c", command], cwd=folder, check=True)

    state = trainer.fit(batches(6), epochs=2)
    assert (state.step, state.outcome) == (12, "completed")
    assert (cut in trainer.handlers, other in trainer.handlers) == (False, True)
    with Recording(other.path) as recording:
        assert status(recording).phase == "completed"
        assert recording.end > 2 * 6 * 8
"""

FOREIGN_FAULT = """
import mmap, os, sys
from helpers import batches, trainer_of
from trackside.handlers import Recorder

trainer = trainer_of(Recorder(f"{sys.argv[1]}/run.loop"))
number = os.open(f"{sys.argv[1]}/data", os.O_RDWR | os.O_CREAT)
os.ftruncate(number, 4096)
data = mmap.mmap(number, 4096)
os.ftruncate(number, 0)
data[0] = 1
"""

OTHER_HANDLER = """
import faulthandler, sys
from helpers import batches, trainer_of
from trackside.handlers import Recorder

trainer_of(Recorder(f"{sys.argv[1]}/first.loop")).fit(batches(1))
faulthandler.disable()
faulthandler.enable()  # in the place of ours
"""


def run(text, *arguments):
    code = f"import faulthandler; faulthandler.enable()\n{text}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return run_forked(command, env=WITH_TEST_HELPERS)


def test_a_recording_that_is_cut_ends_and_the_training_goes_on(tmp_path):
    done = run(CUT_FITS, tmp_path, *COMMANDS)
    assert (done.returncode, done.stderr) == (0, "")
    ended = done.stdout.count(f"another program has cut or overwritten {tmp_path}/run.loop")
    assert ended == len(COMMANDS)


def test_a_fault_in_other_memory_ends_the_process_as_without_a_recorder(tmp_path):
    done = run(FOREIGN_FAULT, tmp_path)
    assert done.returncode == -signal.SIGBUS
    assert "Fatal Python error: Bus error" in done.stderr, "what handled it before does so again"


def test_a_recording_is_kept_from_cuts_after_another_handler_was_installed(tmp_path):
    done = run(OTHER_HANDLER + CUT_FITS, tmp_path, COMMANDS[1])
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fault_reaches_a_handler_that_was_installed_between_two_recorders(tmp_path):
    done = run(OTHER_HANDLER + FOREIGN_FAULT, tmp_path)
    assert done.returncode == -signal.SIGBUS
    assert done.stderr.count("Fatal Python error: Bus error") >= 1


def test_a_refusal_to_replace_the_file_is_an_error(tmp_path, monkeypatch):
    with open(tmp_path / "run.loop", "w+b") as file:
        file.truncate(mmap.PAGESIZE)
        mapped = ReplaceableMap(file.fileno(), mmap.PAGESIZE)
    refusing = types.SimpleNamespace(mmap=lambda *arguments: _replaceable_map._FAILED)
    monkeypatch.setattr(_replaceable_map, "_library", lambda: refusing)
    with pytest.raises(OSError, match="no memory in place of a recording"):
        mapped.replace()
    mapped.close()
