import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest

from trackside.handlers.recording.process_identity import start_time
from trackside.views.output.usage_error import UsageError
from trackside.views.studies import study_database, study_file
from trackside.views.studies.study_database import is_study
from trackside.views.studies.study_file import StudyFile, study_facts
from trackside.views.studies.trial_result import Trial

FIRST, SECOND = Trial((), (), 0), Trial(("EMA",), (("lr", 0.1),), 1)
ROW = {"epoch": 0, "step": 6, "samples": 24, "lr": 0.1, "outcome": "completed", "a": 1.5}
RESULT = {
    "outcome": "completed",
    "reason": "",
    "error": "",
    "is_missing_metric": False,
    "rows": [{"fit": 0, **ROW}],
    "seconds": 0.25,
    "costs": {"EMA": (12, 3400)},
    "facts": {"versions": {"torch": "2"}},
}


@pytest.fixture
def opened(tmp_path):
    files = []

    def open_file(factory="jobs:f", epochs=None, handlers=("EMA",), name="study.db"):
        files.append(StudyFile(tmp_path / "runs" / name, factory, epochs, handlers))
        return files[-1]

    yield open_file
    for file in files:
        file.close()


def test_what_was_written_is_read_by_the_next_process(opened):
    study = opened()
    study.add([FIRST, SECOND])
    study.write(SECOND, RESULT)
    study.close()
    kept = opened().read(SECOND)
    assert (kept.outcome, kept.seconds, kept.costs) == ("completed", 0.25, {"EMA": (12, 3400)})
    assert kept.rows == [ROW]
    assert (kept.value("a"), kept.value("b")) == (1.5, None)
    assert opened().read(FIRST).outcome is None


def test_what_was_not_made_or_failed_is_made_again(opened):
    study, third = opened(), Trial((), (), 2)
    study.add([FIRST, SECOND, third])
    study.write(SECOND, RESULT)
    study.write(third, {**RESULT, "outcome": "failed"})
    assert study.open_trials([FIRST, SECOND, third]) == [FIRST, third]


def test_a_result_replaces_the_one_before(opened):
    study = opened()
    study.add([FIRST])
    study.write(FIRST, {**RESULT, "outcome": "failed"})
    study.write(FIRST, {**RESULT, "rows": [], "costs": {}})
    study.add([FIRST])
    assert (study.read(FIRST).outcome, study.read(FIRST).rows) == ("completed", [])


def test_the_rows_can_be_queried_by_others(opened):
    study = opened()
    study.add([FIRST])
    study.write(FIRST, RESULT)
    with sqlite3.connect(study.path) as other:
        query = "SELECT seed, json_extract(metrics, '$.a') FROM epochs JOIN trials ON id = trial"
        assert [*other.execute(query)] == [(0, 1.5)]
    other.close()


def test_another_number_of_epochs_is_another_study_in_the_same_file(opened):
    study = opened()
    study.add([FIRST])
    study.write(FIRST, RESULT)
    longer = opened(epochs=9)
    longer.add([FIRST])
    assert longer.read(FIRST).outcome is None
    assert opened().read(FIRST).outcome == "completed"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"factory": "jobs:g"},
            "a study of jobs:f, and this one is of jobs:g; give it another",
        ),
        ({"handlers": ["EMA", "SWA"]}, "with the handlers EMA, and now jobs:f has EMA, SWA; give"),
    ],
)
def test_a_study_of_something_else_is_refused(opened, other, message):
    opened()
    with pytest.raises(UsageError, match=message):
        opened(**other)


@pytest.mark.parametrize("content", [b"a text\n" * 99, "database"])
def test_a_file_that_is_no_study_is_refused_and_not_changed(tmp_path, content):
    path = tmp_path / "study.db"
    if content == "database":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE mine (x)")
        other.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="cannot open the study"):
        StudyFile(path, "jobs:f", None, [])
    assert path.read_bytes() == before
    assert not is_study(path)


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot open the study"):
        StudyFile(tmp_path / "file" / "study.db", "jobs:f", None, [])


def test_a_study_that_another_process_runs_is_refused_until_that_has_ended(opened, monkeypatch):
    study, parent = opened(), os.getppid()
    other = [*study_file._machine(), parent, start_time(parent)]
    study._set_process(json.dumps(other))
    study._database.commit()
    with pytest.raises(UsageError, match=f"process {parent} runs the study"), study.claimed():
        pass
    study._set_process(json.dumps([*other[:-1], 1]))  # the process that had this number has ended
    study._database.commit()
    with study.claimed():
        pass


def test_the_facts_are_those_of_the_newest_fit(opened):
    study = opened()
    study.add([FIRST, SECOND])
    study.write(FIRST, RESULT)
    study.write(SECOND, {**RESULT, "facts": {"seed": 1}})
    assert is_study(study.path)
    assert study_facts(study.path) == {"seed": 1}


def test_a_file_that_another_program_has_locked_is_a_usage_error(opened):
    study = opened()
    study._database.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(study.path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UsageError, match=r"cannot write the study .*study\.db: database is locked"):
        study.add([FIRST])
    with pytest.raises(UsageError, match="database is locked"), study.claimed():
        raise AssertionError("claimed")
    other.rollback()
    other.close()
    study.add([FIRST])
    assert study.open_trials([FIRST]) == [FIRST]


def test_several_first_starts_at_the_same_time_find_one_study(tmp_path):
    path, barrier = tmp_path / "study.db", Barrier(6)

    def start(_):
        barrier.wait()
        file = StudyFile(path, "jobs:f", None, ["EMA"])
        file.close()
        return file.id

    with ThreadPoolExecutor(6) as threads:
        assert {*threads.map(start, range(6))} == {1}


def test_while_a_first_start_looks_for_its_study_no_other_one_adds_it(tmp_path):
    class AtTheSameTime(StudyFile):
        def _found(self, factory, epochs, handlers):
            number = super()._found(factory, epochs, handlers)
            insert = "INSERT INTO studies (factory, epochs, handlers) VALUES (?, ?, ?)"
            with (
                closing(sqlite3.connect(self.path, timeout=0)) as other,
                pytest.raises(sqlite3.OperationalError, match="locked"),
            ):
                other.execute(insert, [factory, epochs, handlers])
            return number

    file = AtTheSameTime(tmp_path / "study.db", "jobs:f", None, ["EMA"])
    file.close()
    assert file.id == 1


def test_a_file_that_another_first_start_has_created_meanwhile_is_taken(tmp_path, monkeypatch):
    path, is_empty = tmp_path / "study.db", study_database._is_empty

    def empty_until_now(database):
        monkeypatch.undo()
        assert is_empty(database)
        StudyFile(path, "jobs:f", None, ["EMA"]).close()
        return True

    monkeypatch.setattr(study_database, "_is_empty", empty_until_now)
    file = StudyFile(path, "jobs:f", None, ["EMA"])
    file.close()
    assert file.id == 1
