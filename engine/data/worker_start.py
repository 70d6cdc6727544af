"""What a worker process of a KeyedLoader does first."""

from __future__ import annotations

import os
from collections.abc import Callable

from .parent_watchdog import exit_with_trainer
from .sent_tensors import send_small_tensors_by_value


class WorkerStart:
    """A `worker_init_fn` for torch's `DataLoader`; it calls that of the user last."""

    def __init__(self, worker_init_fn: Callable[[int], None] | None) -> None:
        self.trainer_pid = os.getpid()
        self.worker_init_fn = worker_init_fn

    def __call__(self, worker_id: int) -> None:
        exit_with_trainer(self.trainer_pid)
        send_small_tensors_by_value()
        if self.worker_init_fn is not None:
            self.worker_init_fn(worker_id)
