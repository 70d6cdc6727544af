"""What the ranks have written in shards is read as it was saved, or refused; no code of it runs."""

import pickle
import re
import shutil

import pytest
import torch
from joint_saves import (
    PATHS,
    Payload,
    change_header,
    change_layout,
    pickled,
    save_of_two,
    sign,
    tensor_at,
)
from safetensors.torch import save_file
from states import same, state_of_training

from trackside.engine import CheckpointError, DamagedError, latest, read_checkpoint
from trackside.engine.checkpoint import checkpoint_reader, shard_reader
from trackside.engine.checkpoint.checkpoint_reader import read_stored

MODEL = "/".join(PATHS[0])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    assert save_of_two(folder, 1) == [None, None]
    return latest(folder)


@pytest.fixture
def checkpoint(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / saved.name)


def test_a_state_in_shards_is_read_as_it_was_saved(saved):
    assert same(read_checkpoint(saved), state_of_training())
    files = {path.name for path in saved.iterdir()}
    assert {"shards.json", "shard-00000.safetensors", "shard-00001.safetensors"} < files


@pytest.mark.parametrize(("first", "last"), [(0, 1), (1, 2), (1, 5), (2, 8), (0, 8), (8, 8)])
def test_any_rows_are_read_from_the_files_that_have_them(saved, first, last):
    stored = tensor_at(read_stored(saved), PATHS[0])
    whole = tensor_at(state_of_training(), PATHS[0])
    assert stored.shape == whole.shape
    assert torch.equal(stored.read(first, last), whole[first:last])


def rows(*pairs):
    return lambda layout: layout["tensors"][MODEL].update(rows=[list(pair) for pair in pairs])


def set_in(name, value):
    return lambda layout: layout["tensors"][MODEL].update({name: value})


LAYOUTS = {
    "overlapping rows": (
        rows((0, 2), (1, 8)),
        "in shard-00001.safetensors do not begin where others end",
    ),
    "a gap between rows": (rows((0, 1), (2, 8)), "shard-00000.safetensors has other rows of"),
    "missing rows": (rows((0, 2), (2, 2)), "shard-00001.safetensors has other rows of"),
    "more rows than there are": (rows((0, 2), (2, 9)), "shard-00001.safetensors has other rows of"),
    "rows that go back": (
        rows((0, 2), (2, 1)),
        "in shard-00001.safetensors do not begin where others end",
    ),
    "rows of three ranks": (rows((0, 2), (2, 8), (8, 8)), "argument 2 is longer"),
    "negative rows": (rows((-1, 2), (2, 8)), "-1 is no size, row or offset"),
    "rows that are no numbers": (rows((0, "2"), (2, 8)), "'2' is no size, row or offset"),
    "another shape": (set_in("shape", [8, 400]), "shard-00000.safetensors has other rows of"),
    "a shape with a huge size": (set_in("shape", [1 << 60, 5]), "1152921504606846976 is no size"),
    "no dimension": (set_in("shape", []), "shard-00000.safetensors has other rows of"),
    "another dtype": (set_in("dtype", "F64"), "shard-00000.safetensors has other rows of"),
    "an unknown dtype": (set_in("dtype", "os.system"), "os.system"),
    "a path to nowhere": (set_in("path", ["model", "absent"]), "'absent'"),
    "a path over another tensor": (
        set_in("path", ["model", "0.0.bias"]),
        "would replace something else",
    ),
    "a path into a tensor": (set_in("path", ["model", "0.0.bias", 0]), "there is no 0 in a Tensor"),
    "an empty path": (set_in("path", []), "would replace something else"),
    "a path of files": (set_in("path", "../../etc/passwd"), "'.'"),
    "more ranks": (lambda layout: layout.update(ranks=3), "does not list shard-00002"),
    "fewer ranks": (lambda layout: layout.update(ranks=1), "argument 2 is longer"),
    "a huge number of ranks": (
        lambda layout: layout.update(ranks=1 << 40),
        "1099511627776 is no size",
    ),
    "a rank that is a path": (
        lambda layout: layout.update(ranks="../other"),
        "'../other' is no size",
    ),
    "a missing tensor": (
        lambda layout: layout["tensors"].pop(MODEL),
        "has other tensors than shards.json says",
    ),
    "another tensor": (
        lambda layout: layout["tensors"].update({"../x": layout["tensors"][MODEL]}),
        "has other tensors than shards.json says",
    ),
    "another format": (lambda layout: layout.update(format=2), "shards.json has the format 2"),
    "fewer rows than there are": (set_in("shape", [9, 5]), "has 9 rows, and the files have 8"),
    "no tensors": (lambda layout: layout.pop("tensors"), "'tensors'"),
}


REFUSED = "refused before any of its code ran.*"


@pytest.mark.parametrize(("change", "text"), LAYOUTS.values(), ids=LAYOUTS)
def test_a_forged_layout_is_refused(checkpoint, change, text):
    change_layout(checkpoint, change)
    sign(checkpoint)
    with pytest.raises(DamagedError, match=REFUSED + re.escape(text)):
        read_stored(checkpoint)


def part(**changes):
    return lambda header: header[MODEL].update(changes)


HEADERS = {
    "offsets after the end": (part(data_offsets=[1 << 40, (1 << 40) + 40]), "wrong offsets"),
    "negative offsets": (part(data_offsets=[-40, 0]), "-40 is no size"),
    "offsets of other elements": (part(data_offsets=[4, 44]), "wrong offsets"),
    "shorter offsets": (part(data_offsets=[0, 4]), "wrong offsets"),
    "offsets that go back": (part(data_offsets=[40, 0]), "wrong offsets"),
    "another shape": (part(shape=[2, 400]), "wrong offsets"),
    "another dtype": (part(dtype="F64"), "wrong offsets"),
    "a missing tensor": (
        lambda header: header.pop(MODEL),
        "has other tensors than shards.json says",
    ),
    "another tensor": (
        lambda header: header.update({"/etc/passwd": header[MODEL]}),
        "has other tensors than shards.json says",
    ),
}


@pytest.mark.parametrize(("change", "text"), HEADERS.values(), ids=HEADERS)
def test_a_forged_header_of_a_shard_is_refused(checkpoint, change, text):
    change_header(checkpoint, 0, change)
    sign(checkpoint)
    with pytest.raises(DamagedError, match=REFUSED + re.escape(text)):
        read_stored(checkpoint)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda content: content + b"\0", "and its header describes"),
        (lambda content: content[:-1], "and its header describes"),
        (lambda content: content[:9], "has a header of"),
        (lambda content: b"", "has a header of 0 bytes"),
        (lambda content: (1 << 40).to_bytes(8, "little") + content[8:], "has a header of"),
    ],
)
def test_a_shard_of_another_length_than_its_header_describes_is_refused(checkpoint, change, text):
    shard = checkpoint / "shard-00001.safetensors"
    shard.write_bytes(change(shard.read_bytes()))
    sign(checkpoint)
    with pytest.raises(DamagedError, match=REFUSED + text):
        read_stored(checkpoint)


@pytest.mark.parametrize("name", ["shards.json", "shard-00000.safetensors", "state.pt"])
@pytest.mark.parametrize("how", [pickle.dumps, None], ids=["pickle", "torch.save"])
def test_a_pickle_in_place_of_a_file_is_refused_and_not_run(checkpoint, tmp_path, name, how):
    marker = tmp_path / "ran"
    if how is None:
        pickled(checkpoint / name, marker)
    else:
        (checkpoint / name).write_bytes(how(Payload(marker)))
    sign(checkpoint)
    with pytest.raises(DamagedError, match="refused"):
        read_checkpoint(checkpoint)
    assert not marker.exists()


def test_the_pickle_of_these_tests_would_run_code(tmp_path):
    pickled(tmp_path / "state.pt", tmp_path / "ran")
    torch.load(tmp_path / "state.pt", weights_only=False)
    assert (tmp_path / "ran").exists()


def test_a_metadata_file_of_torch_is_not_read(checkpoint, tmp_path):
    pickled(checkpoint / ".metadata", tmp_path / "ran")
    assert same(read_checkpoint(checkpoint), state_of_training())
    sign(checkpoint)
    with pytest.raises(DamagedError, match=r"lists '\.metadata', which is not a plain file name"):
        read_checkpoint(checkpoint)
    assert not (tmp_path / "ran").exists()


def test_a_shard_that_the_manifest_does_not_list_is_refused(checkpoint):
    shard = checkpoint / "shard-00001.safetensors"
    content = shard.read_bytes()
    shard.unlink()
    sign(checkpoint)
    shard.write_bytes(content)
    with pytest.raises(DamagedError, match="the manifest does not list shard-00001"):
        read_stored(checkpoint)


@pytest.mark.parametrize("name", ["shards.json", "shard-00000.safetensors"])
def test_a_damaged_shard_is_skipped_for_the_checkpoint_before(saved, tmp_path, name):
    folder = shutil.copytree(saved.parent, tmp_path / "runs")
    assert save_of_two(folder, 2, seed=1) == [None, None]
    (folder / "step-000000000002" / name).unlink()
    with pytest.warns(UserWarning, match=f"skipping a damaged checkpoint: .*{name}"):
        assert same(read_checkpoint(folder), state_of_training())


def test_shards_larger_than_the_memory_are_resumed_but_not_read_whole(saved, monkeypatch):
    monkeypatch.setattr(checkpoint_reader, "memory_bytes", lambda: 10)
    assert tensor_at(read_stored(saved), PATHS[0]).read(0, 1).shape == (1, 5)
    with pytest.raises(CheckpointError, match="too large to be read whole: its shards have"):
        read_checkpoint(saved)


def test_a_shard_that_becomes_shorter_is_refused_when_its_rows_are_read(checkpoint):
    stored = tensor_at(read_stored(checkpoint), PATHS[0])
    (checkpoint / "shard-00000.safetensors").write_bytes(b"")
    with pytest.raises(DamagedError, match=r"shard-00000\.safetensors has become shorter"):
        stored.whole()


def test_a_layout_that_is_too_large_to_be_one_is_not_read(checkpoint, monkeypatch):
    monkeypatch.setattr(shard_reader, "_MAX_BYTES", 64)
    with pytest.raises(DamagedError, match=REFUSED + "shards.json has more than 64 bytes"):
        read_stored(checkpoint)


def test_a_shard_of_a_rank_without_rows_is_a_header_alone(tmp_path):
    save_file({"w": torch.zeros(0, 4)}, tmp_path / "shard-00001.safetensors")
    header = shard_reader._header(tmp_path / "shard-00001.safetensors", {"w"})
    assert header["w"]["shape"] == [0, 4]


def test_a_stored_tensor_of_a_handler_is_also_in_the_entries_of_the_ranks_that_have_it():
    def entry():
        return {"handlers": {"EMA": {"shadow": [None]}}}

    state = {**entry(), "model": {"w": None}, "ranks": [entry(), {"handlers": {}}]}
    stored = object()
    found = shard_reader._placed(state, ["handlers", "EMA", "shadow", 0], stored)
    assert found["handlers"]["EMA"]["shadow"] == [stored]
    assert found["ranks"] == [{"handlers": {"EMA": {"shadow": [stored]}}}, {"handlers": {}}]
    found = shard_reader._placed(state, ["model", "w"], stored)
    assert found["model"]["w"] is stored
    assert found["ranks"] == state["ranks"]
