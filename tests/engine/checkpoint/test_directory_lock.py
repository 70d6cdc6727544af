import errno
import fcntl
import gc
import os
import signal
import threading
from contextlib import closing
from pathlib import Path

import crash
import pytest
from checkpoint_processes import (
    LOCKED,
    exits_with_its_freedom,
    forks_and_checks,
    forks_and_saves,
    forks_while_it_waits,
    is_free,
    locks_and_starts_another,
    locks_forks_and_waits,
)
from patience import until
from states import state_of_training

from trackside.engine import CheckpointError, CheckpointStore
from trackside.engine.checkpoint import directory_lock
from trackside.engine.checkpoint.directory_lock import DirectoryLock


@pytest.fixture
def lock(tmp_path):
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    yield lock
    lock.release()


def test_a_second_lock_in_the_same_process_is_refused(lock, tmp_path):
    with pytest.raises(CheckpointError, match="or another trainer of this one"):
        DirectoryLock(tmp_path).acquire()
    lock.release()
    assert is_free(tmp_path)


def test_a_refused_lock_does_not_release_the_first_one(lock, tmp_path):
    for _ in range(2):
        assert not is_free(tmp_path)
    assert crash.run(exits_with_its_freedom, tmp_path) == LOCKED


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system lists no open files")
def test_a_refused_lock_leaves_its_file_open_once(lock, tmp_path):
    for _ in range(3):
        with pytest.raises(CheckpointError, match="another process writes"):
            DirectoryLock(tmp_path).acquire()
    opened = [file for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
    assert [os.path.realpath(file) for file in opened].count(f"{tmp_path / '.lock'}") == 1


def test_whoever_else_opens_and_closes_the_file_does_not_release_it(lock, tmp_path):
    (tmp_path / ".lock").read_bytes()
    assert crash.run(exits_with_its_freedom, tmp_path) == LOCKED


def test_a_record_lock_of_an_earlier_version_excludes(tmp_path):
    with (tmp_path / ".lock").open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert not is_free(tmp_path)
    assert is_free(tmp_path)


def test_one_lock_can_be_acquired_and_released_twice(lock, tmp_path):
    lock.acquire()
    lock.release()
    lock.release()
    assert is_free(tmp_path)


def test_a_lock_that_is_dropped_is_released(lock, tmp_path):
    lock.release()
    dropped = DirectoryLock(tmp_path)
    dropped.acquire()
    assert not is_free(tmp_path)
    del dropped
    gc.collect()
    assert is_free(tmp_path)


def test_a_forked_child_does_not_have_the_lock_and_its_parent_keeps_it(tmp_path):
    assert crash.run(forks_and_checks, tmp_path) == 0


def test_a_forked_child_cannot_write_or_delete_beside_its_parent(tmp_path):
    assert crash.run(forks_and_saves, tmp_path) == 0


def test_a_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path):
    process = crash.started(locks_forks_and_waits, tmp_path)
    until((tmp_path / "ready").exists)
    assert not is_free(tmp_path)
    process.kill()
    process.wait()
    try:
        assert is_free(tmp_path)
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system lists no open files")
@pytest.mark.parametrize("is_reaped", [True, False])
def test_a_process_that_does_not_yet_run_with_the_lock_of_a_killed_one_is_waited_for(
    tmp_path, monkeypatch, is_reaped
):
    process = crash.started(locks_and_starts_another, tmp_path)
    until((tmp_path / "ready").exists)
    process.kill()
    if is_reaped:
        process.wait()
    pause, other = directory_lock.time.sleep, int((tmp_path / "other").read_text())

    def let_it_end(seconds):
        os.kill(other, signal.SIGKILL)
        pause(seconds)

    monkeypatch.setattr(directory_lock.time, "sleep", let_it_end)
    try:
        assert is_free(tmp_path)
    finally:
        os.kill(other, signal.SIGKILL)
        process.wait()


def test_a_lock_is_waited_for_a_second_and_then_tried_once_more(lock, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(directory_lock.time, "sleep", pauses.append)
    assert not is_free(tmp_path)
    assert sum(pauses) == pytest.approx(1)

    def let_go_in_the_last(seconds):
        pauses.pop()
        if not pauses:
            lock.release()

    monkeypatch.setattr(directory_lock.time, "sleep", let_go_in_the_last)
    assert is_free(tmp_path)


def test_a_process_that_is_forked_while_a_lock_is_waited_for_has_no_copy(tmp_path):
    assert crash.run(forks_while_it_waits, tmp_path) == 0


def a_pipe(path):
    os.mkfifo(path)


def a_link(path):
    path.symlink_to(path.with_name("elsewhere"))


def a_folder(path):
    path.mkdir()


@pytest.mark.parametrize("make", [a_pipe, a_link, a_folder], ids=lambda make: make.__name__)
def test_a_lock_that_is_no_file_is_refused_at_once_and_leaves_nothing(tmp_path, make):
    make(tmp_path / ".lock")
    gc.collect()  # else that may close a file of an earlier test meanwhile
    before = sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with pytest.raises(CheckpointError, match=r"\.lock is not a regular file; remove it"):
        DirectoryLock(tmp_path).acquire()
    assert not (tmp_path / "elsewhere").exists()
    assert before is None or sorted(os.listdir("/proc/self/fd")) == before


def test_a_pipe_with_a_reader_is_refused(tmp_path):
    os.mkfifo(tmp_path / ".lock")
    reader = os.open(tmp_path / ".lock", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(CheckpointError, match="not a regular file"):
        DirectoryLock(tmp_path).acquire()
    os.close(reader)


def test_of_many_threads_one_gets_the_lock(tmp_path):
    locks, together, won = [DirectoryLock(tmp_path) for _ in range(8)], threading.Barrier(8), []

    def acquire(lock):
        together.wait()
        try:
            lock.acquire()
        except CheckpointError:
            return
        won.append(lock)

    threads = [threading.Thread(target=acquire, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].release()


def test_a_folder_that_open_refuses_is_not_locked(tmp_path):
    with closing(CheckpointStore(tmp_path)) as store:
        store.open()
        store.save(state_of_training(), 1, {})
    with pytest.raises(CheckpointError, match="checkpoints of another fit"):
        CheckpointStore(tmp_path).open(new=True)
    refused = CheckpointStore(tmp_path)
    with pytest.raises(CheckpointError, match="checkpoints of another fit"):
        refused.open(new=True)
    assert is_free(tmp_path)


def test_a_file_system_that_cannot_lock_is_named(tmp_path, monkeypatch):
    def refuse(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(directory_lock, "_lock_open_file", refuse)
    with pytest.raises(CheckpointError, match=rf"cannot lock {tmp_path}: .*No locks available"):
        DirectoryLock(tmp_path).acquire()
