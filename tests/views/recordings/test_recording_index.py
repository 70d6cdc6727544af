import pytest
from recordings import recorded

from trackside.views.recordings.recording_index import Shelf


def test_folders_are_searched_with_all_that_they_hold_and_the_newest_run_comes_first(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name / "deep").mkdir(parents=True)
        recorded(tmp_path / name / "deep" / f"{name}.loop").close()
    (tmp_path / "notes.txt").write_text("nothing")
    entries = Shelf([tmp_path]).entries()
    assert [(entry["name"], entry["status"]) for entry in entries] == [
        ("new", "ended"),
        ("old", "ended"),
    ]


def test_a_recording_is_found_by_the_name_that_it_has_in_the_list(tmp_path):
    path = tmp_path / "run.loop"
    recorded(path).close()
    shelf = Shelf([path])
    assert shelf.path(shelf.entries()[0]["id"]) == path
    for name in ("", "run.loop", str(path)):
        with pytest.raises(KeyError):
            shelf.path(name)


def test_recordings_may_come_and_go_and_what_cannot_be_read_is_left_out(tmp_path):
    shelf = Shelf([tmp_path])
    assert shelf.entries() == []
    (tmp_path / "torn.loop").write_bytes(b"\x89trackside")
    recorded(tmp_path / "run.loop").close()
    assert [entry["name"] for entry in shelf.entries()] == ["run"]
    (tmp_path / "run.loop").unlink()
    assert shelf.entries() == []
