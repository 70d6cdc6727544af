"""Each command where its output has no place, in a terminal, and when it is interrupted."""

import os
import re
import signal
import subprocess
import sys

import pytest
from forked import WITH_TEST_HELPERS, Forked, run_forked
from helpers import batches, trainer_of
from terminals import Terminal

from trackside.handlers import Checkpoint, Journal, Recorder
from trackside.views.commands.main import build_parser, main

COMMANDS = [*build_parser().commands.choices]
JOB = "jobs_of_every_command.py:FACTORY"
RIGHT = {
    "ablate": [JOB, "--epochs", "1", "--seeds", "0,1", "--file", "FACTORY.db", "--handlers", "EMA"],
    "compare": ["run.loop", "run.loop"],
    "demo": ["--epochs", "EPOCHS", "--out", "demo"],
    "diff": ["run.journal", "run.journal"],
    "draw": [JOB, "-o", "loop.svg"],
    "export": ["run.loop", "-o", "run.csv"],
    "facts": ["run.loop"],
    "fit": [JOB],
    "handlers": [],
    "rehearse": [JOB, "--epochs", "1"],
    "report": ["run.loop", "-o", "run.html"],
    "rewind": ["saved", JOB, "--step", "4", "--dump", "batch.pt"],
    "status": ["run.loop"],
    "top": ["run.loop"],
    "verify-resume": [JOB, "--epochs", "1", "--batches", "1"],
    "watch": ["run.loop"],
}
JOBS = """
from helpers import batches, trainer_of
from terminals import Terminal
from trackside import EMA
from trackside.views import Job

def short():
    return Job(trainer_of(EMA()), batches(3), batches(1))

def long():
    return Job(trainer_of(EMA()), batches(3), batches(1), epochs=10**6)
"""
BEGIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
{}
from trackside.__main__ import run
sys.exit(run())
"""
ASCII = """
sys.stdout = sys.__stdout__ = open(1, "w", encoding="ascii", closefd=False)
sys.stderr = sys.__stderr__ = open(2, "w", encoding="ascii", closefd=False)
"""
CLOSED = "import os; os.close(1); sys.stdout = None"
CATCHES = """
try:
    import asked
except BaseException:
    raise SystemExit("interrupted within the import")
print("imported", flush=True)

def job():
    while True:  # until the interrupt is raised
        pass
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    saved, journal = Checkpoint(folder / "saved", epochs=1), Journal(folder / "run.journal")
    trainer = trainer_of(Recorder(folder / "run.loop", timing=True), saved, journal)
    trainer.fit(batches(3), batches(1), epochs=2)
    (folder / "jobs_of_every_command.py").write_text(JOBS)
    return folder


def right(command, endless=False):
    """The arguments with which a command succeeds; `endless`: those with which some go on."""
    new = {"FACTORY": "long", "EPOCHS": "999"} if endless else {"FACTORY": "short", "EPOCHS": "1"}
    return [command, *(re.sub("FACTORY|EPOCHS", lambda f: new[f[0]], w) for w in RIGHT[command])]


def started(folder, command, before="", **streams):
    words = [sys.executable, "-c", BEGIN.format(before), *right(command)]
    return Forked(words, cwd=folder, env=WITH_TEST_HELPERS, text=True, **streams)


def test_every_command_is_among_these():
    assert {*RIGHT} == {*COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_misspelt_command_and_an_unknown_option_are_refused_in_one_line(
    command, recorded, monkeypatch, capsys
):
    monkeypatch.chdir(recorded)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "jobs_of_every_command", raising=False)
    words = right(command)
    for wrong, why in (
        ([f"{command}t", *words[1:]], f"did you mean {command}?"),
        ([*words, "--no-such"], f"--no-such; see trackside {command}"),
    ):
        assert main(wrong) == 2
        printed, error = capsys.readouterr()
        assert (printed, error.count("\n")) == ("", 1)
        assert why in error


def complaints(errors):
    """What trackside says on stderr, beside the lines of a bar that is no terminal's."""
    return [line for line in errors.splitlines() if not line.startswith("epochs ")]


def without_a_place(folder, command, stdout):
    with started(folder, command, stdout=stdout, stderr=subprocess.PIPE) as process:
        (line,) = complaints(process.communicate()[1])
    assert line.startswith("trackside: cannot write the output: ")
    assert process.returncode == 1


def nobody_reads(folder, command):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        without_a_place(folder, command, pipe)


def device_is_full(folder, command):
    with open("/dev/full", "w") as full:
        without_a_place(folder, command, full)


def output_is(before):
    def check(folder, command):
        streams = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        with started(folder, command, before, **streams) as process:
            printed, errors = process.communicate()
        assert (process.returncode, complaints(errors)) == (0, [])
        assert (printed == "") == (before == CLOSED)
        assert printed.isascii()

    return check


def terminal_of(columns, kind):
    def check(folder, command):
        words = [sys.executable, "-c", BEGIN.format(""), *right(command)]
        terminal = Terminal(words, columns, kind=kind, cwd=folder)
        if command == "top" and kind != "dumb":
            terminal.until("q ends")
            terminal.press("q")
        assert "Traceback" not in terminal.until("never")
        assert (terminal.process.wait(), terminal.is_restored) == (0, True)
        assert kind == "xterm" or "\x1b" not in terminal.text
        terminal.close()

    return check


def signalled(kind, *codes):
    def check(folder, command):
        words = [sys.executable, "-c", BEGIN.format(""), *right(command, endless=True)]
        terminal = Terminal(words, 80, cwd=folder)
        terminal.until("\n")  # what it shows first
        os.killpg(terminal.process.pid, kind)
        assert "Traceback" not in terminal.until("never")
        assert terminal.process.wait() in (0, -kind, *codes)
        assert terminal.is_restored
        assert terminal.text.count("trackside: ") <= 1
        terminal.close()

    return check


SITUATIONS = {
    "nobody reads": nobody_reads,
    "device is full": device_is_full,
    "output is closed": output_is(CLOSED),
    "output is ASCII": output_is(ASCII),
    "60 columns": terminal_of(60, "xterm"),
    "80 columns": terminal_of(80, "xterm"),
    "dumb terminal": terminal_of(80, "dumb"),
    "Ctrl-C": signalled(signal.SIGINT, 130),
    "SIGTERM": signalled(signal.SIGTERM, 143),
}
CELLS = [
    (command, situation)
    for command in COMMANDS
    for situation in SITUATIONS
    if command != "watch" or situation in ("Ctrl-C", "SIGTERM")  # it ends only by a signal
]


@pytest.mark.matrix
@pytest.mark.parametrize(("command", "situation"), CELLS)
def test_a_command_ends_with_one_line_at_most_and_a_code(command, situation, recorded):
    SITUATIONS[situation](recorded, command)


def test_an_interrupt_in_an_import_is_raised_when_it_has_ended(recorded):
    """Torch imports NumPy so: whatever the import raises is caught, and torch has no NumPy then."""
    (recorded / "asked.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    (recorded / "catches.py").write_text(CATCHES)
    run = [sys.executable, "-c", BEGIN.format(""), "fit", "catches.py:job"]
    done = run_forked(run, cwd=recorded, env=WITH_TEST_HELPERS)
    assert done.returncode == 130
    assert done.stderr == "trackside: interrupted; all scopes are closed\n"
    assert done.stdout == "imported\n"


def test_an_interrupt_before_the_command_line_is_imported_ends_it_silently(tmp_path):
    (tmp_path / "argparse.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)")
    run = [sys.executable, "-c", BEGIN.format("import trackside"), "status"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
