"""The facts of a run: what they contain, and what they never do."""

import json
import os
import subprocess
import sys

import pytest
import torch
from helpers import batches, state_of, trainer_of

from trackside.events.utils.hidden_secrets import hidden_command, plain
from trackside.handlers import Checkpoint, CSVLogger, Journal, JSONLines, Recorder
from trackside.handlers import run_facts as module
from trackside.handlers.run_facts import run_facts
from trackside.views.recordings.kept_facts import kept_facts

NAMES = ["factory", "arguments", "seed", "versions", "git", "command", "machine"]


def test_the_facts_have_these_names_and_are_json():
    state = state_of(seed=3, facts={"factory": "m:f", "arguments": {"lr": 0.1}})
    facts = run_facts(state)
    assert list(facts) == NAMES
    assert (facts["factory"], facts["arguments"], facts["seed"]) == ("m:f", {"lr": 0.1}, 3)
    assert facts["versions"]["torch"] == torch.__version__
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_no_environment_variable_is_in_the_facts(monkeypatch):
    monkeypatch.setenv("A_VARIABLE", "its-value-is-nowhere")
    assert "its-value-is-nowhere" not in json.dumps(run_facts(state_of()))


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        (["fit", "--api-key", "abc", "--lr", "1"], ["fit", "--api-key", "***", "--lr", "1"]),
        (["--hf_token=abc", "--max_tokens=9"], ["--hf_token=***", "--max_tokens=9"]),
        (["python", "-c", "key = 1", "x"], ["python", "-c", "…", "x"]),
        (["python", "train.py", "-c", "a.yaml"], ["python", "train.py", "-c", "a.yaml"]),
        (["https://me:abc@host/x"], ["https://***@host/x"]),
        (["ghp_0123456789abcdefghij"], ["***"]),
        (["--password", "--lr", "1"], ["--password", "--lr", "1"]),
    ],
)
def test_secrets_of_a_command_line_are_hidden(command, kept):
    assert hidden_command(command) == kept


def test_arguments_are_kept_as_json_without_secrets():
    given = {"dbPassword": "x", "size": (1, 2), "net": torch.nn.Linear(1, 1), "rate": float("nan")}
    kept = {"dbPassword": "***", "size": [1, 2], "net": "Linear", "rate": "nan"}
    assert plain(given) == kept
    assert plain(torch.device("cpu")) == "cpu"


def git(folder, *command):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", folder, *who, *command], check=True, capture_output=True)


def test_git_tells_the_commit_and_whether_tracked_files_differ(tmp_path, monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert module._git.__wrapped__() is None
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-m", "a")
    (tmp_path / "new.txt").write_text("")
    clean = module._git.__wrapped__()
    (tmp_path / "a.py").write_text("2")
    dirty = module._git.__wrapped__()
    assert (clean["dirty"], dirty["dirty"]) == (False, True)
    assert len(clean["commit"]) == 40


def test_without_git_the_fit_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module._git.__wrapped__() is None


SINKS = {
    "run.loop": Recorder,
    "checkpoints": lambda path: Checkpoint(path, steps=1),
    "log.csv": CSVLogger,
    "log.jsonl": JSONLines,
    "journal.jsonl": Journal,
}


@pytest.mark.parametrize("name", SINKS)
def test_what_records_a_fit_keeps_the_same_facts(name, tmp_path):
    trainer = trainer_of(SINKS[name](tmp_path / name))
    trainer.state.facts = {"factory": "m:f", "arguments": {"lr": 0.1}}
    trainer.fit(batches(), seed=3)
    (facts,) = kept_facts(tmp_path / name).values()
    expected = run_facts(trainer.state)
    assert {fact: facts[fact] for fact in expected} == expected


def test_a_log_of_several_fits_has_the_facts_of_each(tmp_path):
    trainer = trainer_of(CSVLogger(tmp_path / "log.csv"))
    for seed in (1, 2):
        trainer.fit(batches(), seed=seed)
    lines = map(json.loads, (tmp_path / "log.csv.facts").read_text().splitlines())
    assert [(line["fit"], line["facts"]["seed"]) for line in lines] == [(0, 1), (1, 2)]
    (facts,) = kept_facts(tmp_path / "log.csv").values()
    assert facts["seed"] == 2


def test_importing_the_facts_starts_no_process(monkeypatch):
    code = "import sys, torch; sys.addaudithook(lambda e, a: e == 'subprocess.Popen' and 1 / 0)"
    code += "; import trackside.handlers.run_facts"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=os.getcwd())
