"""What tests of checkpoints run in processes of their own, which find it by its module."""

import os
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

from states import state_of_training

from trackside.engine import CheckpointError, CheckpointStore, DamagedError, read_checkpoint
from trackside.engine.checkpoint import directory_lock
from trackside.engine.checkpoint.directory_lock import DirectoryLock

GIBI = 1 << 30


def is_free(folder):
    other = DirectoryLock(folder)
    try:
        other.acquire()
    except CheckpointError:
        return False
    other.release()
    return True


FREE, LOCKED = 10, 11


def exits_with_its_freedom(folder):
    os._exit(FREE if is_free(folder) else LOCKED)


def in_a_fork(work):
    """Whether `work()` is true in a forked process."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def forks_and_checks(folder):
    """Check a fork in a process with a single thread."""
    lock = DirectoryLock(folder)
    lock.acquire()
    found = [in_a_fork(lambda: not lock.is_held and not is_free(folder))]
    found += [lock.is_held, not is_free(folder)]
    lock.release()
    os._exit(0 if all(found) and is_free(folder) else 1)


def refused(act):
    try:
        act()
    except CheckpointError as error:
        return "has not locked it" in str(error)
    return False


def forks_and_saves(folder):
    with closing(CheckpointStore(folder)) as store:
        store.open()
        store.save(state_of_training(), 1, {})
        saved = in_a_fork(lambda: refused(lambda: store.save(state_of_training(), 2, {})))
        kept = in_a_fork(lambda: refused(lambda: store.keep([])))
        names = [path.name for path in folder.glob("step-*")]
    os._exit(0 if (saved, kept, names) == (True, True, ["step-000000000001"]) else 1)


def locks_forks_and_waits(folder):
    lock = DirectoryLock(folder)
    lock.acquire()
    child = os.fork()
    if child == 0:
        signal.pause()
    (folder / "child").write_text(str(child))
    (folder / "ready").touch()
    signal.pause()


def locks_and_starts_another(folder):
    """Lock a folder, and start a process that keeps a copy, as each does until it runs."""
    lock = DirectoryLock(folder)
    lock.acquire()
    copy = next(
        int(file.name)
        for file in Path("/proc/self/fd").iterdir()
        if os.path.realpath(file) == str(lock.path)
    )
    other = subprocess.Popen(["sleep", "3600"], pass_fds=[copy])
    (folder / "other").write_text(str(other.pid))
    (folder / "ready").touch()
    signal.pause()


def forks_while_it_waits(folder):
    """Get a lock after a process was forked in a pause; its end is the end of the lock."""
    held, waiting, children = DirectoryLock(folder), DirectoryLock(folder), []
    held.acquire()

    def fork_and_let_go(seconds):
        children.append(os.fork())
        if children == [0]:
            signal.pause()
        held.release()

    with patch.object(directory_lock.time, "sleep", fork_and_let_go):
        waiting.acquire()
        waiting.release()
    free = is_free(folder)
    os.kill(children[0], signal.SIGKILL)
    os._exit(0 if free else 1)


def peak_bytes():
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmPeak"))
    return int(line.split()[1]) << 10


def reads_with_little_memory(path):
    before = peak_bytes()
    try:
        read_checkpoint(path)
    except DamagedError:
        os._exit(0 if peak_bytes() - before < GIBI // 2 else 2)
    os._exit(1)
