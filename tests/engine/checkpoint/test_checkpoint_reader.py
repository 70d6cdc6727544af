import json
import os
import pickle
import shutil
import zipfile
from contextlib import closing
from dataclasses import replace

import pytest
import torch
from helpers import batches, equal, trainer_of, weights
from states import same, state_of_training

from trackside.engine import (
    SUPERVISED,
    CheckpointError,
    CheckpointStore,
    DamagedError,
    NoCheckpointError,
    latest,
    read_checkpoint,
)
from trackside.engine.checkpoint import checkpoint_reader, manifest
from trackside.engine.checkpoint.atomic_directory import FileDigest, hash_file
from trackside.engine.checkpoint.checkpoint_paths import list_checkpoints
from trackside.engine.checkpoint.manifest import MANIFEST_FORMAT, Manifest, TooLargeError
from trackside.engine.fit_state.state_dict_check import check_phase
from trackside.handlers import Checkpoint


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, of steps 1 and 2."""
    store = CheckpointStore(tmp_path / "runs")
    store.open()
    for step in (1, 2):
        store.save(state_of_training(seed=step), step, {})
    store.close()
    return store.folder


def newest(folder):
    return folder / "step-000000000002"


def cut(path):
    os.truncate(path, path.stat().st_size - 1)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def folder_instead(path):
    path.unlink()
    path.mkdir()


FILES = ("manifest.json", "model.safetensors", "state.pt")
damage = pytest.mark.parametrize(
    "damage", [cut, flip, empty, os.unlink, link, folder_instead], ids=lambda how: how.__name__
)


@damage
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_skipped_with_a_warning(folder, name, damage):
    damage(newest(folder) / name)
    with pytest.warns(UserWarning, match=f"skipping a damaged .*{name}"):
        assert latest(folder).name == "step-000000000001"
    with pytest.warns(UserWarning, match="skipping"):
        assert same(read_checkpoint(folder)["model"], state_of_training(seed=1)["model"])


@damage
@pytest.mark.parametrize("name", FILES)
def test_reading_a_damaged_checkpoint_by_its_path_is_an_error(folder, name, damage):
    damage(newest(folder) / name)
    with pytest.raises(DamagedError, match=f"step-000000000002.*{name}"):
        read_checkpoint(newest(folder))


def test_any_flipped_bit_is_detected(folder):
    for name in FILES:
        path = newest(folder) / name
        original = path.read_bytes()
        for place in range(0, len(original), 29):
            flipped = bytearray(original)
            flipped[place] ^= 1 << place % 8
            path.write_bytes(flipped)
            with pytest.raises(CheckpointError):
                read_checkpoint(newest(folder))
        path.write_bytes(original)
    assert latest(folder) == newest(folder)


def test_if_all_are_damaged_that_is_an_error_and_not_a_new_start(folder):
    for path in folder.glob("step-*"):
        flip(path / "state.pt")
    with (
        pytest.warns(UserWarning, match="skipping"),
        pytest.raises(CheckpointError, match=r"every checkpoint in .* is damaged") as caught,
    ):
        latest(folder)
    assert not isinstance(caught.value, NoCheckpointError)


def test_an_empty_folder_raises_an_error_of_its_own(tmp_path):
    for missing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NoCheckpointError, match="there is no checkpoint in"):
            read_checkpoint(missing)


def test_other_names_links_and_files_are_not_checkpoints(folder):
    shutil.copytree(newest(folder), folder / "step-3")
    shutil.copytree(newest(folder), folder / ".tmp-1-0123abcd")
    (folder / "step-000000000009").symlink_to(newest(folder))
    (folder / "step-000000000010").write_text("a file")
    assert latest(folder) == newest(folder)


def forged(folder, **fields):
    """Change fields of the newest manifest, with a correct checksum."""
    path = newest(folder)
    original = Manifest.read(path)
    changed = Manifest(**{**vars(original), **fields})
    (path / "manifest.json").write_bytes(changed.to_bytes())
    return path


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "..", ".", "a/b", "", ".hidden"])
def test_a_file_name_that_leaves_the_folder_is_refused(folder, name):
    (folder.parent / "secret").write_text("")
    files = Manifest.read(newest(folder)).files | {name: FileDigest(0, "")}
    with pytest.raises(DamagedError, match="not a plain file name"):
        read_checkpoint(forged(folder, files=files))


NUMBERS = ["first", None, [], {}, float("inf"), float("nan"), -1, 1.5, True, 1 << 70]
FACTS = [
    {"metrics": []},
    {"metrics": {"loss": "low"}},
    {"metrics": {"loss": float("nan")}},
    {"metrics": {"loss": None}},
    {"epoch": float("inf")},
    {"epoch": -2},
    {"batch": "1"},
    {"phase": 1},
    {"why": []},
    [],
    None,
]
WRONG_FIELDS = [
    *({"serial": value} for value in (*NUMBERS, 0)),
    *({"step": value} for value in (*NUMBERS, 10**12)),
    *({"facts": value} for value in FACTS),
]


@pytest.mark.parametrize("fields", WRONG_FIELDS, ids=repr)
def test_a_manifest_with_wrong_values_is_refused_and_the_older_one_found(folder, fields):
    path = forged(folder, **fields)
    for read in (read_checkpoint, latest):
        with pytest.raises(DamagedError, match="missing or wrong fields"):
            read(path)
        with pytest.warns(UserWarning, match="skipping a damaged"):
            read(folder)
    with closing(CheckpointStore(folder)) as store:
        with pytest.warns(UserWarning, match="skipping"):
            store.open()
        assert [path.name for path in store.written] == ["step-000000000001"]


WRONG_FILES = [
    {},
    {"state.pt": {"size": 1, "sha256": "0" * 64}},
    {"model.safetensors": {}, "state.pt": {}},
    {"model.safetensors": {"size": -1, "sha256": "0" * 64}},
    {"model.safetensors": {"size": float("inf"), "sha256": "0" * 64}},
    {"model.safetensors": {"size": 1, "sha256": 7}},
    {"model.safetensors": {"size": 1, "sha256": "0" * 63}},
    {"model.safetensors": {"size": 1, "sha256": "0" * 64, "more": 1}},
    {"model.safetensors": 7},
    [],
    None,
]


@pytest.mark.parametrize("files", WRONG_FILES, ids=repr)
def test_a_manifest_of_wrong_files_is_refused_and_the_older_one_found(folder, files):
    path = newest(folder) / "manifest.json"
    fields = json.loads(path.read_text())
    del fields["sha256"]
    fields["files"] = (fields["files"] | files) if files and len(files) == 1 else files
    if isinstance(files, dict) and list(files) == ["state.pt"]:
        fields["files"] = files
    path.write_text(json.dumps(fields | {"sha256": manifest._checksum(fields)}))
    with pytest.raises(DamagedError, match="missing or wrong fields"):
        latest(newest(folder))
    with pytest.warns(UserWarning, match="skipping a damaged"):
        assert latest(folder).name == "step-000000000001"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{", "manifest.json is not JSON"),
        (b"[" * 100_000, "manifest.json is not JSON"),
        (b"\xff", "manifest.json is not JSON"),
        (b"[]", "manifest.json has no format"),
        (b"{}", "manifest.json has no format"),
        (b'{"format": "1"}', "manifest.json has no format"),
        (b'{"format": true}', "manifest.json has no format"),
        (b" " * (manifest._MAX_BYTES + 1), f"manifest.json has more than {manifest._MAX_BYTES}"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_what_is_wrong_with_a_manifest_is_told(folder, content, text):
    (newest(folder) / "manifest.json").write_bytes(content)
    with pytest.raises(DamagedError, match=text):
        read_checkpoint(newest(folder))


@pytest.mark.parametrize("name", ["manifest.json", "model.safetensors", "state.pt"])
def test_a_pipe_instead_of_a_file_is_refused_at_once(folder, name):
    (newest(folder) / name).unlink()
    os.mkfifo(newest(folder) / name)
    with pytest.warns(UserWarning, match="is not a file"):
        assert latest(folder).name == "step-000000000001"


def test_a_folder_of_links_has_no_checkpoint_and_is_written_to(folder, tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    for number in range(3):
        (links / f"step-{number:012}").symlink_to(newest(folder))
        (links / f"step-{number + 5:012}").symlink_to(links / "nowhere")
    (links / "step-000000000009").symlink_to("step-000000000009")
    with pytest.raises(NoCheckpointError):
        read_checkpoint(links)
    with closing(CheckpointStore(links)) as store:
        store.open()
        for step in (0, 5, 9):
            path = store.save(state_of_training(), step, {})
            assert read_checkpoint(links)
            assert path.name == f"step-{step:012}.2"


def test_a_forged_newest_checkpoint_does_not_hide_the_older_one(folder):
    path = newest(folder)
    torch.save({"nothing": 1}, path / "state.pt")
    files = Manifest.read(path).files | {"state.pt": hash_file(path / "state.pt")}
    forged(folder, files=files)
    with pytest.warns(UserWarning, match="skipping a damaged checkpoint.*refused"):
        assert same(read_checkpoint(folder), state_of_training(seed=1))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "1"}', "[" * 100_000, "\xff"])
def test_text_that_is_not_a_manifest_is_refused(folder, text):
    (newest(folder) / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(DamagedError, match=r"manifest\.json"):
        read_checkpoint(newest(folder))


def test_a_manifest_of_gigabytes_is_not_read(folder):
    os.truncate(newest(folder) / "manifest.json", 1 << 40)
    with pytest.raises(DamagedError, match="more than"):
        read_checkpoint(newest(folder))


def test_a_file_larger_than_the_memory_is_not_read_and_the_older_checkpoint_found(folder):
    path = newest(folder)
    os.truncate(path / "state.pt", 1 << 43)  # sparse
    files = Manifest.read(path).files | {"state.pt": FileDigest(1 << 43, "0" * 64)}
    forged(folder, files=files)
    with pytest.warns(UserWarning, match=r"skipping a checkpoint: .* too large to be"):
        assert same(read_checkpoint(folder), state_of_training(seed=1))
    with pytest.raises(TooLargeError, match="this machine has a memory of"):
        read_checkpoint(path)


def test_a_checkpoint_names_the_unit_of_its_chart(tmp_path):
    trainer = trainer_of(
        Checkpoint(tmp_path, steps=2), chart=SUPERVISED.renamed({"batch": "frame"})
    )
    trainer.fit(batches(3))
    found = {path.name: read_checkpoint(path) for path in list_checkpoints(tmp_path)}
    inside = found["step-000000000002"]
    assert (inside["unit"], inside["phase"]) == ("frame", "fit.epoch.train.fetch")
    check_phase(inside)
    forged = "fit.epoch.train.frame.loss"
    with pytest.raises(ValueError, match="no fit is saved there"):
        check_phase({**inside, "phase": forged, "chart": [*inside["chart"], f"x → {forged}"]})
    other = "fit.batch.train.fetch"
    check_phase({**inside, "phase": other, "chart": [f"begin_train fit.batch.ready → {other}"]})


@pytest.mark.parametrize("unit", [5, ["frame"], b"frame"])
def test_a_forged_name_of_the_unit_is_refused(unit):
    with pytest.raises(ValueError, match=r"unit is .* which no fit has"):
        check_phase({"phase": "fit.ready", "unit": unit})


def test_a_forged_unit_does_not_hide_the_older_checkpoint(tmp_path):
    trainer = trainer_of(Checkpoint(tmp_path, steps=1))
    trainer.fit(batches(2))
    path = newest(tmp_path)
    content = torch.load(path / "state.pt", weights_only=True)
    content["state"] |= {"unit": "step", "phase": "fit.epoch.train.batch.forward"}
    torch.save(content, path / "state.pt")
    digest = hash_file(path / "state.pt")
    forged(tmp_path, files=Manifest.read(path).files | {"state.pt": digest})
    second = trainer_of()
    with pytest.warns(UserWarning, match=r"refused: unit is step .* and batch in this chart"):
        second.fit(batches(2), resume=tmp_path)
    assert equal(weights(second), weights(trainer))


def test_a_checkpoint_of_a_newer_format_is_an_error_and_not_skipped(folder):
    path = newest(folder) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": MANIFEST_FORMAT + 1}))
    for find in (latest, read_checkpoint):
        with pytest.raises(CheckpointError, match="newer trackside wrote it") as caught:
            find(folder)
        assert not isinstance(caught.value, DamagedError)


class Malicious:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_malicious_pickle_with_the_right_checksum_is_refused_and_not_run(folder, tmp_path):
    path, created = newest(folder), tmp_path / "created by the pickle"
    (path / "state.pt").unlink()
    torch.save(
        {"state": {"model": {}, "malicious": Malicious(created)}, "tied": {}}, path / "state.pt"
    )
    files = Manifest.read(path).files | {"state.pt": hash_file(path / "state.pt")}
    with pytest.raises(CheckpointError, match="refused before any of its code ran"):
        read_checkpoint(forged(folder, files=files))
    assert not created.exists()
    torch.load(path / "state.pt", weights_only=False)
    assert created.exists(), "the pickle is not malicious"


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize(
    "content", [b"", b"nonsense", pickle.dumps({"state": {}}), b"\xff" * 8 + b"{}"]
)
def test_another_file_format_with_the_right_checksum_is_refused(folder, name, content):
    path = newest(folder)
    (path / name).write_bytes(content)
    files = Manifest.read(path).files | {name: hash_file(path / name)}
    with pytest.raises(CheckpointError, match="refused"):
        read_checkpoint(forged(folder, files=files))


@pytest.mark.parametrize("content", [[], {"state": {}}, {"state": [], "tied": {}}, torch.ones(2)])
def test_a_state_of_another_structure_with_the_right_checksum_is_refused(folder, content):
    path = newest(folder)
    torch.save(content, path / "state.pt")
    files = Manifest.read(path).files | {"state.pt": hash_file(path / "state.pt")}
    with pytest.raises(CheckpointError, match="refused"):
        read_checkpoint(forged(folder, files=files))


def test_a_manifest_without_the_weights_is_refused(folder):
    files = {name: f for name, f in Manifest.read(newest(folder)).files.items() if "pt" in name}
    with pytest.raises(DamagedError, match="does not list"):
        read_checkpoint(forged(folder, files={"state.pt": files["state.pt"]}))


def test_the_state_file_contains_only_plain_data(folder):
    with zipfile.ZipFile(newest(folder) / "state.pt") as file:
        (name,) = (name for name in file.namelist() if name.endswith("data.pkl"))
        assert b"trackside" not in file.read(name)


def test_tied_weights_are_written_once_and_read_twice(folder):
    model = read_checkpoint(folder)["model"]
    assert model["3.weight"].data_ptr() == model["2.weight"].data_ptr()
    assert same(model, state_of_training(seed=2)["model"])


PHASES = ["fit.epoch.train.batch.forward", "fit.cancelled", "fit.epoch.failing", "fit.nowhere"]


@pytest.mark.parametrize("phase", PHASES)
def test_a_state_of_a_phase_in_which_no_fit_is_saved_does_not_hide_the_older_one(tmp_path, phase):
    trainer = trainer_of(Checkpoint(tmp_path, keep_last=None))
    trainer.fit(batches(2), epochs=2)
    older, newer = sorted(tmp_path.glob("step-*"))[-2:]
    content = torch.load(newer / "state.pt", weights_only=True)
    content["state"]["phase"] = phase
    torch.save(content, newer / "state.pt")
    manifest_of = Manifest.read(newer)
    files = manifest_of.files | {"state.pt": hash_file(newer / "state.pt")}
    (newer / "manifest.json").write_bytes(replace(manifest_of, files=files).to_bytes())
    with pytest.warns(UserWarning, match="no fit is saved there"):
        assert same(read_checkpoint(tmp_path), read_checkpoint(older))


def test_a_checkpoint_for_which_there_is_no_memory_is_not_called_damaged(folder, monkeypatch):
    def exhausted(folder):
        raise MemoryError("as for a model that is too large")

    monkeypatch.setattr(checkpoint_reader, "_read_files", exhausted)
    with pytest.raises(MemoryError, match="too large"):
        read_checkpoint(folder)


def test_a_file_in_the_place_of_a_checkpoint_cannot_be_read(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DamagedError, match=r"manifest\.json cannot be read: .*Not a directory"):
        Manifest.read(tmp_path / "file")
