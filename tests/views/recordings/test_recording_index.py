import pytest
from helpers import batches
from recordings import recorded, recorded_ranks

from trackside.views.recordings.recording_index import RecordingIndex


def test_folders_are_searched_recursively_and_the_newest_run_comes_first(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name / "deep").mkdir(parents=True)
        recorded(tmp_path / name / "deep" / f"{name}.loop").close()
    (tmp_path / "notes.txt").write_text("nothing")
    entries = RecordingIndex([tmp_path]).entries()
    assert [(entry["name"], entry["status"]) for entry in entries] == [
        ("new", "ended"),
        ("old", "ended"),
    ]


def test_a_path_is_returned_only_for_a_listed_id(tmp_path):
    path = tmp_path / "run.loop"
    recorded(path).close()
    index = RecordingIndex([path])
    assert index.path(index.entries()[0]["id"]) == path
    for name in ("", "run.loop", str(path)):
        with pytest.raises(KeyError):
            index.path(name)


def test_entries_follow_new_and_deleted_files_and_skip_unreadable_ones(tmp_path):
    index = RecordingIndex([tmp_path])
    assert index.entries() == []
    (tmp_path / "torn.loop").write_bytes(b"\x89trackside")
    recorded(tmp_path / "run.loop").close()
    assert [entry["name"] for entry in index.entries()] == ["run"]
    (tmp_path / "run.loop").unlink()
    assert index.entries() == []


def test_one_entry_of_a_run_of_several_ranks_compares_them(tmp_path, monkeypatch):
    recorded(tmp_path / "alone.loop").close()
    recorded_ranks(tmp_path, monkeypatch, lambda rank, trainer: trainer.fit(batches(3)))
    first, second, alone = RecordingIndex([tmp_path]).entries()
    assert "run" not in alone
    assert first["run"] == second["run"]
    (compared,) = [entry["ranks"] for entry in (first, second) if "ranks" in entry]
    assert [one["rank"] for one in compared["ranks"]] == [0, 1]
    assert {one["status"] for one in compared["ranks"]} == {"ended"}
    assert "fit.epoch.train.fetch" in [one["phase"] for one in compared["phases"]]


def test_results_are_those_of_the_recordings_that_can_be_read(tmp_path):
    recorded(tmp_path / "run.loop").close()
    (tmp_path / "torn.loop").write_bytes(b"\x89trackside")
    index = RecordingIndex([tmp_path])
    (found,) = index.results()
    assert index.path(found) == tmp_path / "run.loop"
