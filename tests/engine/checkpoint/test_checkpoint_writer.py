import errno
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import crash
import pytest
import torch
from faults import KEEPS, Files, power_cut
from forked import run_forked
from states import same, state_of_training

from trackside.engine import (
    CheckpointError,
    CheckpointStore,
    latest,
    read_checkpoint,
)


def opened(folder):
    store = CheckpointStore(folder)
    store.open()
    return store


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.fixture
def store(tmp_path):
    store = opened(tmp_path / "runs" / "a")
    yield store
    store.close()


def test_a_saved_state_is_read_back_bit_for_bit(store):
    state = state_of_training()
    path = store.save(state, step=42, facts={"epoch": 1})
    assert path == store.folder / "step-000000000042"
    assert same(read_checkpoint(path), read_checkpoint(store.folder))
    assert same(read_checkpoint(path), state)


def test_a_checkpoint_is_a_manifest_safetensors_weights_and_a_state_file(store):
    path = store.save(state_of_training(), step=1, facts={})
    assert names(path) == ["manifest.json", "model.safetensors", "state.pt"]
    manifest = json.loads((path / "manifest.json").read_text())
    for name, file in manifest["files"].items():
        assert (path / name).stat().st_size == file["size"]
    torch.load(path / "state.pt", weights_only=True)


# torch 2.14 says so of every sparse tensor that it reads
@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants:UserWarning")
def test_weights_that_safetensors_cannot_store_go_to_the_state_file(store):
    model = {"w": torch.ones(2), "sparse": torch.eye(2).to_sparse(), "extra": {"version": 3}}
    store.save({"model": model}, step=1, facts={})
    read = read_checkpoint(store.folder)["model"]
    assert read.keys() == model.keys()
    assert torch.equal(read["sparse"].to_dense(), torch.eye(2))
    assert read["extra"] == {"version": 3}


def test_a_second_checkpoint_at_a_step_is_newer_and_overwrites_nothing(store):
    first = store.save(state_of_training(seed=1), step=5, facts={})
    second = store.save(state_of_training(seed=2), step=5, facts={})
    assert names(store.folder) == ["step-000000000005", "step-000000000005.2"]
    assert latest(store.folder) == second
    assert same(read_checkpoint(first)["model"], state_of_training(seed=1)["model"])


def test_the_newest_is_the_last_written_not_the_one_with_the_highest_step(store):
    store.save(state_of_training(), step=500, facts={})
    store.close()
    again = opened(store.folder)
    path = again.save(state_of_training(), step=110, facts={})
    assert latest(store.folder) == path
    again.close()


def test_keep_deletes_all_but_the_wanted_checkpoints(store):
    paths = [store.save(state_of_training(), step, {}) for step in range(4)]
    store.keep([paths[1], paths[3]])
    assert names(store.folder) == ["step-000000000001", "step-000000000003"]
    assert list(store.written) == [paths[1], paths[3]]
    store.keep(paths)
    assert list(store.written) == [paths[1], paths[3]]


def test_foreign_and_renamed_folders_are_left_alone(store):
    path = store.save(state_of_training(), 1, {})
    (store.folder / "notes").mkdir()
    path.rename(store.folder / "elsewhere")
    store.keep([])
    assert names(store.folder) == ["elsewhere", "notes"]


def test_open_deletes_unfinished_checkpoints_and_lists_finished_ones(store):
    path = store.save(state_of_training(), 1, {})
    (store.folder / ".tmp-1-0123abcd").mkdir()
    (store.folder / ".tmp-1-0123abcd" / "state.pt").write_bytes(b"half")
    store.close()
    again = opened(store.folder)
    assert names(store.folder) == [path.name]
    assert list(again.written) == [path]
    again.close()


LOCKED = """
import sys
from trackside.engine import CheckpointError, CheckpointStore
try:
    CheckpointStore(sys.argv[1]).open()
except CheckpointError as error:
    print(error)
"""


def test_two_processes_cannot_write_to_one_folder(store):
    def other():
        return run_forked([sys.executable, "-c", LOCKED, str(store.folder)], check=True).stdout

    assert f"another process writes checkpoints to {store.folder}" in other()
    store.close()
    assert other() == ""


@contextmanager
def tiny_disk(folder):
    """A file system of 4 MB; only root may mount one."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def limited_files(folder):
    """Limit files to 4 MB, which needs no root."""
    folder.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 22, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


FULL = {limited_files: errno.EFBIG} | ({tiny_disk: errno.ENOSPC} if os.geteuid() == 0 else {})
"""Ways to run out of space, with the errno; only root can mount a small file system."""


@pytest.mark.parametrize("full", FULL, ids=lambda full: full.__name__)
def test_a_full_disk_raises_and_the_previous_checkpoint_stays_intact(tmp_path, full):
    small, large = state_of_training(), state_of_training()
    large["handlers"]["EMA"]["shadow"] = [torch.zeros(1 << 21)]
    with full(tmp_path / "disk"), closing(CheckpointStore(tmp_path / "disk")) as store:
        store.open()
        path = store.save(small, 1, {})
        with pytest.raises(OSError, match=r"large|space") as caught:
            store.save(large, 2, {})
        assert caught.value.errno == FULL[full]
        assert "step-000000000002 was not written" in caught.value.__notes__[0]
        assert names(store.folder) == [path.name]
        assert same(read_checkpoint(store.folder)["handlers"], small["handlers"])
        assert store.save(small, 3, {}) == latest(store.folder)


def test_a_read_only_folder_is_refused_by_open(tmp_path):
    folder = tmp_path / "disk"
    if os.geteuid() == 0:  # root ignores permissions
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], check=True)
    else:
        folder.mkdir(mode=0o500)
    try:
        with pytest.raises(OSError, match=r"Read-only|denied"):
            opened(folder)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(folder)], check=True)


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(OSError, match="runs"):
        opened(tmp_path / "runs")


def test_a_deleted_folder_is_an_error_and_is_not_recreated(store):
    subprocess.run(["rm", "-r", str(store.folder)], check=True)
    with pytest.raises(FileNotFoundError):
        store.save(state_of_training(), 1, {})
    assert not store.folder.exists()


def operations(folder):
    """The log of the file operations of some saves."""
    folder.mkdir()
    files = Files(folder)
    crash.saves(folder / "runs", files, files.acknowledge)
    return files.log


def is_operation(entry):
    return entry[0] != "acknowledged"


def number_of_operations(tmp_path):
    return sum(map(is_operation, operations(tmp_path / "undisturbed")))


def check_nothing_acknowledged_is_lost(folder, log):
    """The latest checkpoint is intact and not older than the last acknowledged one."""
    acknowledged = [Path(path).name for operation, path, *_ in log if operation == "acknowledged"]
    if not acknowledged and not any((folder / "runs").glob("step-*")):
        return
    path = latest(folder / "runs")
    assert path.name >= max(acknowledged, default="")
    step = int(path.name.removeprefix("step-"))
    assert torch.equal(read_checkpoint(path)["model"]["w"], torch.full((3,), float(step)))


@pytest.mark.filterwarnings("ignore:skipping a damaged checkpoint")
def test_a_power_cut_after_any_operation_loses_no_acknowledged_checkpoint(tmp_path):
    log = operations(tmp_path / "disk")
    kept = [(keeps, 0) for keeps in KEEPS[:-1]] + [(KEEPS[-1], seed) for seed in range(5)]
    for count in range(len(log) + 1):
        for keeps, seed in kept:
            target = tmp_path / f"{count}-{keeps}-{seed}"
            power_cut(log[:count], tmp_path / "disk", target, keeps, seed)
            check_nothing_acknowledged_is_lost(target, log[:count])


@pytest.mark.filterwarnings("ignore:skipping a damaged checkpoint")
def test_without_sync_a_power_cut_would_lose_acknowledged_checkpoints(tmp_path):
    log = [entry for entry in operations(tmp_path / "disk") if entry[0] != "sync"]
    lost = 0
    for count in range(len(log) + 1):
        target = tmp_path / f"{count}"
        power_cut(log[:count], tmp_path / "disk", target, "anything", seed=count)
        try:
            check_nothing_acknowledged_is_lost(target, log[:count])
        except (AssertionError, CheckpointError):
            lost += 1
    assert lost > len(log) / 4


def test_replaying_the_whole_log_gives_the_content_of_the_disk(tmp_path):
    log = operations(tmp_path / "disk")
    power_cut(log, tmp_path / "disk", tmp_path / "copy", "everything")
    done = subprocess.run(["diff", "-r", tmp_path / "disk", tmp_path / "copy"], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("step", ["before", "middle"])
def test_an_error_in_any_file_operation_escapes_and_loses_nothing(tmp_path, step):
    def fault(now):
        if now == step:
            raise OSError(errno.EIO, "broken on purpose")

    for number in range(number_of_operations(tmp_path)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        files = Files(folder, number, fault)
        with pytest.raises(OSError, match="purpose"):
            crash.saves(folder / "runs", files, files.acknowledge)
        check_nothing_acknowledged_is_lost(folder, files.log)
        check_next_process_can_save(folder / "runs")


@pytest.mark.parametrize("step", ["before", "middle", "after"])
def test_a_kill_at_any_file_operation_loses_nothing(tmp_path, step):
    for number in range(number_of_operations(tmp_path)):
        folder, acknowledged = tmp_path / f"{number}", tmp_path / f"{number}.acknowledged"
        folder.mkdir()
        acknowledged.touch()
        assert crash.run(crash.killed_saves, folder, acknowledged, number, step) == -signal.SIGKILL
        log = [("acknowledged", path) for path in acknowledged.read_text().split()]
        check_nothing_acknowledged_is_lost(folder, log)
        check_next_process_can_save(folder / "runs")


def check_next_process_can_save(folder):
    """The next process can write there, and deletes unfinished checkpoints."""
    store = opened(folder)
    assert all(name.startswith("step-") for name in names(folder))
    assert store.save(state_of_training(), 9, {}) == latest(folder)
    store.close()
