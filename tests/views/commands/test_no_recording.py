"""A file that is no recording, journal or checkpoint is refused by every command that reads one."""

import os

import pytest

from trackside.views.commands.main import build_parser, main
from trackside.views.page import page_server

READERS = {
    "compare": ["PATH", "PATH"],
    "diff": ["PATH", "PATH"],
    "export": ["PATH", "-o", "out.csv"],
    "facts": ["PATH"],
    "report": ["PATH", "-o", "out.html"],
    "rewind": ["PATH", "jobs:job", "--step", "1"],
    "status": ["PATH"],
    "top": ["PATH"],
    "watch": ["PATH"],
}
OTHERS = {"ablate", "demo", "draw", "fit", "handlers", "rehearse", "verify-resume"}
FILES = {"text.loop": b"hello\n", "empty.loop": b"", "binary.loop": bytes(range(256)) * 99}


def test_every_command_either_reads_recordings_or_does_not():
    assert {*build_parser().commands.choices} - {*READERS} == OTHERS


@pytest.mark.parametrize("name", [*FILES, "missing.loop", os.devnull])
@pytest.mark.parametrize("command", READERS)
def test_what_is_no_recording_is_refused_in_one_line(command, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(page_server, "serve", None)
    (tmp_path / "jobs.py").write_text("def job():\n    pass\n")
    if name in FILES:
        (tmp_path / name).write_bytes(FILES[name])
    words = [word.replace("PATH", name) for word in READERS[command]]
    assert main([command, *words]) == 2
    printed, error = capsys.readouterr()
    assert (printed, error.count("\n")) == ("", 1)
    assert name in error


@pytest.mark.parametrize("command", ["compare", "export", "report", "status", "top"])
def test_a_folder_without_recordings_is_refused_in_one_line(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert main([command, *(word.replace("PATH", "runs") for word in READERS[command])]) == 2
    assert "no recording in runs; expected files *.loop" in capsys.readouterr().err
