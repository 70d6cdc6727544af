import os
import shutil

import pytest
from audited import when_listed
from recordings import recorded

from trackside.views.recordings.recording_files import recording_files
from trackside.views.recordings.recording_index import RecordingIndex
from trackside.views.recordings.recording_set import open_recordings


def checkpoints_beside(folder):
    """A recording beside folders of checkpoints; the function that deletes one as it is listed."""
    recorded(folder / "run.loop").close()
    for step in range(3):
        (folder / f"step-{step:012}").mkdir(parents=True)

    def delete(path):
        if os.path.basename(path) == "step-000000000001":
            shutil.rmtree(path)

    return delete


@pytest.mark.parametrize(
    "names_in",
    [
        lambda folder: [entry["name"] for entry in RecordingIndex([folder]).entries()],
        lambda folder: [path.stem for path in recording_files(folder)],
    ],
)
def test_a_folder_that_vanishes_while_it_is_listed_is_skipped(tmp_path, names_in):
    with when_listed(checkpoints_beside(tmp_path)):
        assert names_in(tmp_path) == ["run"]


def test_commands_open_what_is_left_when_folders_vanish(tmp_path):
    with when_listed(checkpoints_beside(tmp_path)), open_recordings(tmp_path) as opened:
        assert [recording.meta.name for recording in opened] == ["run"]


def test_a_link_out_of_the_folder_is_not_listed(tmp_path):
    recorded(tmp_path / "private" / "secret.loop").close()
    recorded(tmp_path / "shown" / "run.loop").close()
    (tmp_path / "shown" / "file.loop").symlink_to(tmp_path / "private" / "secret.loop")
    (tmp_path / "shown" / "folder").symlink_to(tmp_path / "private")
    assert recording_files(tmp_path / "shown") == [tmp_path / "shown" / "run.loop"]


def test_a_link_inside_the_folder_and_one_given_by_its_path_are_listed(tmp_path):
    recorded(tmp_path / "runs" / "run.loop").close()
    (tmp_path / "runs" / "last.loop").symlink_to("run.loop")
    (tmp_path / "link").symlink_to("runs")
    names = [path.name for path in recording_files(tmp_path / "link")]
    assert names == ["last.loop", "run.loop"]
    assert recording_files(tmp_path / "runs" / "last.loop") == [tmp_path / "runs" / "last.loop"]
