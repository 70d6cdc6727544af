"""All ranks write a checkpoint, or none does."""

import json
import os

import pytest
import torch
from joint_saves import save_of_two
from states import same, state_of_training

from trackside import PeerError
from trackside.engine import latest, read_checkpoint
from trackside.engine.checkpoint import joint_writer, shard_reader


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("step", ["_write_shard", "_write_layout"])
def test_what_fails_on_one_rank_is_raised_by_all_and_leaves_the_older_whole(
    tmp_path, monkeypatch, rank, step
):
    assert save_of_two(tmp_path, 1) == [None, None]
    work = getattr(joint_writer, step)

    def fail(*arguments):
        if step == "_write_layout" or arguments[1] == rank:
            raise OSError(28, "No space left on device")
        return work(*arguments)

    monkeypatch.setattr(joint_writer, step, fail)
    errors = save_of_two(tmp_path, 2)
    culprit = 0 if step == "_write_layout" else rank
    assert isinstance(errors[culprit], OSError)
    assert isinstance(errors[1 - culprit], PeerError)
    assert errors[1 - culprit].rank == culprit
    assert f"rank {culprit} has not written its part" in str(errors[1 - culprit])
    assert "No space left on device" in str(errors[1 - culprit])
    assert names(tmp_path) == ["step-000000000001"]
    assert same(read_checkpoint(tmp_path), state_of_training())


def test_rank_0_renames_the_folder_after_all_ranks_have_synced(tmp_path, monkeypatch):
    synced, sync = [], joint_writer.DirectoryFiles.sync
    monkeypatch.setattr(
        joint_writer.DirectoryFiles, "sync", lambda files: (sync(files), synced.append(1))
    )
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda *names: (synced.append(0), rename(*names)))
    assert save_of_two(tmp_path, 1) == [None, None]
    assert synced == [1, 1, 1, 0]


def test_the_layout_says_which_rows_each_file_has(tmp_path):
    assert save_of_two(tmp_path, 1) == [None, None]
    layout = json.loads((latest(tmp_path) / shard_reader.LAYOUT_FILE).read_text())
    assert layout["ranks"] == 2
    assert layout["tensors"]["model/0.0.weight"] == {
        "path": ["model", "0.0.weight"],
        "shape": [8, 5],
        "rows": [[0, 2], [2, 8]],
        "dtype": "F32",
    }


def test_a_dtype_that_no_file_can_have_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(joint_writer, "DTYPES", {torch.float64: "F64"})
    errors = save_of_two(tmp_path, 1)
    assert [type(error) for error in errors] == [TypeError, TypeError]
    assert "model/0.0.weight is a sharded tensor of torch.float32" in str(errors[0])
