import pytest
from recordings import recorded

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
