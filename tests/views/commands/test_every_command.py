"""Each command where its output has no place, in a terminal, and when it is interrupted."""

import os
import re
import signal
import subprocess
import sys

import pytest
from forked import WITH_TEST_HELPERS, Forked
from helpers import batches, trainer_of
from terminals import Terminal

from trackside.handlers import Checkpoint, Journal, Recorder
from trackside.views.commands.main import build_parser, main

COMMANDS = [*build_parser().commands.choices]
JOB = "jobs.py:FACTORY"
RIGHT = {
    "ablate": [JOB, "--seeds", "0,1", "--file", "study.db", "--handlers", "EMA"],
    "compare": ["run.loop", "run.loop"],
    "demo": ["--epochs", "EPOCHS", "--out", "demo"],
    "diff": ["run.journal", "run.journal"],
    "draw": [JOB, "-o", "loop.svg"],
    "export": ["run.loop", "-o", "run.csv"],
    "facts": ["run.loop"],
    "fit": [JOB],
    "handlers": [],
    "rehearse": [JOB],
    "report": ["run.loop", "-o", "run.html"],
    "rewind": ["saved", JOB, "--step", "2", "--dump", "batch.pt"],
    "status": ["run.loop"],
    "top": ["run.loop"],
    "verify-resume": [JOB, "--epochs", "1", "--batches", "1"],
    "watch": ["run.loop"],
}
ENDING = [command for command in COMMANDS if command != "watch"]
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
from trackside.views.commands.main import main
sys.exit(main())
"""
ASCII = """
sys.stdout = sys.__stdout__ = open(1, "w", encoding="ascii", closefd=False)
sys.stderr = sys.__stderr__ = open(2, "w", encoding="ascii", closefd=False)
"""
CLOSED = "import os; os.close(1); sys.stdout = None"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    saved, journal = Checkpoint(folder / "saved", epochs=1), Journal(folder / "run.journal")
    trainer = trainer_of(Recorder(folder / "run.loop", timing=True), saved, journal)
    trainer.fit(batches(3), batches(1))
    (folder / "jobs.py").write_text(JOBS)
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


@pytest.mark.matrix
@pytest.mark.parametrize("place", ["nobody", "full"])
@pytest.mark.parametrize("command", ENDING)
def test_an_output_without_a_place_is_one_line_and_a_code(command, place, recorded):
    reader, nobody = os.pipe()
    os.close(reader)
    with os.fdopen(nobody, "w") as pipe, open("/dev/full", "w") as full:
        stdout = {"nobody": pipe, "full": full}[place]
        with started(recorded, command, stdout=stdout, stderr=subprocess.PIPE) as process:
            (line,) = complaints(process.communicate()[1])
    assert line.startswith("trackside: cannot write the output: ")
    assert process.returncode == 1


@pytest.mark.matrix
@pytest.mark.parametrize("before", [CLOSED, ASCII], ids=["closed", "ascii"])
@pytest.mark.parametrize("command", ENDING)
def test_a_command_succeeds_without_an_output_or_with_one_of_ascii(command, before, recorded):
    streams = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with started(recorded, command, before, **streams) as process:
        printed, errors = process.communicate()
    assert (process.returncode, complaints(errors)) == (0, [])
    assert (printed == "") == (before == CLOSED)
    assert printed.isascii()


@pytest.mark.matrix
@pytest.mark.parametrize("kind", ["xterm", "dumb"])
@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("command", ENDING)
def test_a_command_leaves_the_terminal_as_it_was(command, columns, kind, recorded):
    words = [sys.executable, "-c", BEGIN.format(""), *right(command)]
    terminal = Terminal(words, columns, kind=kind, cwd=recorded)
    if command == "top":
        terminal.press("q")
    assert "Traceback" not in terminal.until("never")
    assert (terminal.process.wait(), terminal.is_restored) == (0, True)
    assert kind == "xterm" or "\x1b" not in terminal.text
    terminal.close()


@pytest.mark.matrix
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_ends_a_command_without_a_traceback(command, kind, recorded):
    words = [sys.executable, "-c", BEGIN.format(""), *right(command, endless=True)]
    terminal = Terminal(words, 80, cwd=recorded)
    terminal.until("\n")  # what it shows first
    os.killpg(terminal.process.pid, kind)
    assert "Traceback" not in terminal.until("never")
    interrupted = (0, 130, -signal.SIGINT) if kind == signal.SIGINT else (0, 143, -signal.SIGTERM)
    assert terminal.process.wait() in interrupted
    assert terminal.is_restored
    assert terminal.text.count("trackside: ") <= 1
    terminal.close()
