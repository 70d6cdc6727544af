"""End a worker of a loader when the process that started it ends, also if it is killed."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

_POLL_INTERVAL = 1.0  # seconds


def exit_with_trainer(trainer_pid: int) -> None:
    """Have this process, a worker, exit when the trainer process is gone.

    torch's own workers check their parent only while they wait for work, and check the wrong
    process forever if the trainer was killed before their first check.
    """
    threading.Thread(
        target=_watch, args=(trainer_pid,), name="trackside orphan watch", daemon=True
    ).start()


def _watch(trainer_pid: int) -> None:
    parent_pid, trainer = os.getppid(), multiprocessing.parent_process()
    # with forkserver the parent is the server process, which exits together with the trainer
    while os.getppid() == parent_pid and (
        parent_pid == trainer_pid or (trainer is not None and trainer.is_alive())
    ):
        time.sleep(_POLL_INTERVAL)
    os._exit(1)
