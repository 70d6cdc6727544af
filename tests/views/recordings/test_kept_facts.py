"""The facts that `trackside facts` finds, and what it says where there are none."""

import json

import pytest
from helpers import batches, trainer_of

from trackside.handlers import Checkpoint, Journal, JSONLines, Recorder
from trackside.views.commands.main import main
from trackside.views.output.usage_error import UsageError
from trackside.views.recordings.kept_facts import kept_facts


def test_the_command_prints_the_facts_by_name(tmp_path, capsys):
    trainer_of(Recorder(tmp_path / "run.loop")).fit(batches(), seed=41)
    assert main(["facts", str(tmp_path)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == str(tmp_path / "run.loop")
    printed = dict(line.split(maxsplit=1) for line in lines)
    assert printed["seed"] == "41"
    assert {"versions.torch", "command", "machine.host"} <= printed.keys()


@pytest.mark.parametrize("name", ["missing", "empty.txt", "."])
def test_where_nothing_has_facts_it_says_so(name, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(UsageError, match=r"no facts of a run|no such file"):
        kept_facts(tmp_path / name)


@pytest.mark.parametrize("text", ['{"facts": 3}', '{"facts": [', "[" * 100_000 + '"facts"', "\0"])
def test_damaged_lines_have_no_facts(text, tmp_path):
    (tmp_path / "log").write_text(text)
    with pytest.raises(UsageError, match="no facts of a run"):
        kept_facts(tmp_path / "log")


def test_facts_are_printable_whatever_the_file_says(tmp_path):
    forged = {"facts": {"a\x1b[2J": "b\nc", "d": [["e"], "f\x07"], "g": {"h": {"i": {"j": 1}}}}}
    (tmp_path / "log").write_text(json.dumps(forged))
    (facts,) = kept_facts(tmp_path / "log").values()
    assert "\x1b" not in str(facts)
    assert facts["d"] == ["f�"]


def test_facts_are_found_beyond_the_first_megabytes_of_a_log(tmp_path):
    with (tmp_path / "log").open("w") as log:
        log.write('{"facts": {"seed": 1}}\n')
        log.write(("x" * 1023 + "\n") * (1 << 14))
        log.write('{"facts": {"seed": 2}}\n')
    assert kept_facts(tmp_path / "log") == {tmp_path / "log": {"seed": 2}}


def test_all_files_of_a_folder_are_found_once_and_a_damaged_one_is_skipped(tmp_path):
    made = [Recorder(tmp_path / "run.loop"), JSONLines(tmp_path / "log.jsonl")]
    trainer_of(*made, Journal(tmp_path / "journal.jsonl")).fit(batches(), seed=41)
    damaged = tmp_path / "damaged.loop"
    damaged.write_bytes((tmp_path / "run.loop").read_bytes()[:64])
    with pytest.warns(UserWarning, match=r"skipping .*damaged\.loop"):
        found = kept_facts(tmp_path)
    assert {path.name for path in found} == {"run.loop", "log.jsonl.facts", "journal.jsonl"}
    assert {facts["seed"] for facts in found.values()} == {41}


def test_a_checkpoint_has_the_facts_of_its_run(tmp_path):
    trainer_of(Checkpoint(tmp_path, epochs=1)).fit(batches(), seed=41)
    (checkpoint,) = tmp_path.glob("step-*")
    assert kept_facts(checkpoint)[checkpoint]["seed"] == 41
    (checkpoint / "manifest.json").write_text("[")
    with pytest.raises(UsageError, match=r"cannot read .*manifest") as caught:
        kept_facts(checkpoint)
    assert "\n" not in str(caught.value)
