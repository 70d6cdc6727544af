"""End the workers of a loader when the process that started them ends, also if it is killed."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable

from .sent_tensors import send_small_tensors_by_value

_POLL_INTERVAL = 1.0  # seconds


class ParentWatchdog:
    """A `worker_init_fn` whose worker exits when the trainer process is gone.

    It also sends small tensors by value.

    torch's own workers check their parent only while they wait for work, and check the wrong
    process forever if the trainer was killed before their first check.
    """

    def __init__(self, worker_init_fn: Callable[[int], None] | None = None) -> None:
        self.trainer_pid = os.getpid()
        self.worker_init_fn = worker_init_fn

    def __call__(self, worker_id: int) -> None:
        threading.Thread(target=self._watch, name="trackside orphan watch", daemon=True).start()
        send_small_tensors_by_value()
        if self.worker_init_fn is not None:
            self.worker_init_fn(worker_id)

    def _watch(self) -> None:
        parent_pid, trainer = os.getppid(), multiprocessing.parent_process()
        # with forkserver the parent is the server process, which exits together with the trainer
        while os.getppid() == parent_pid and (
            parent_pid == self.trainer_pid or (trainer is not None and trainer.is_alive())
        ):
            time.sleep(_POLL_INTERVAL)
        os._exit(1)
