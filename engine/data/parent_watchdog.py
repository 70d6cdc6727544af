"""Workers of a loader that end with the process that started them, however that one ends."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable

_LOOKS_EVERY = 1.0  # seconds


class EndsWithTrainer:
    """A `worker_init_fn` after which a worker does not outlive a trainer that is killed.

    torch's own workers look after their parent only while they wait for work, and watch the wrong
    process for ever if it was killed before they began to look.
    """

    def __init__(self, then: Callable[[int], None] | None = None) -> None:
        self.trainer = os.getpid()
        self.then = then

    def __call__(self, number: int) -> None:
        threading.Thread(target=self._watch, name="trackside orphan watch", daemon=True).start()
        if self.then is not None:
            self.then(number)

    def _watch(self) -> None:
        first, trainer = os.getppid(), multiprocessing.parent_process()
        # a server that forks workers is the parent of its own, and ends with the trainer
        while os.getppid() == first and (
            first == self.trainer or (trainer is not None and trainer.is_alive())
        ):
            time.sleep(_LOOKS_EVERY)
        os._exit(1)
