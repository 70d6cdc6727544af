"""A thread that waits for work, and is not there when the process is forked."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from weakref import WeakSet


class IdleThread:
    """Does one job after the other in a thread, which starts with the first one.

    An idle thread ends before the process is forked, as a loader does at the begin of a pass: the
    new process then has one thread, and inherits no lock. The next job starts another one.

    Args:
        name: the begin of the name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.RLock()
        self._executor: ThreadPoolExecutor | None = None
        self._process = os.getpid()
        self._last: Future[None] | None = None
        _end_before_forks()
        _threads.add(self)

    def submit(self, job: Callable[[], None]) -> Future[None]:
        """Have the thread do a job; while the interpreter exits, it is done at once."""
        if self._process != os.getpid():  # the thread and its locks are those of the parent
            IdleThread.__init__(self, self._name)
        with self._lock:
            self._last = self._submitted(job)
            return self._last

    def end(self) -> None:
        """End the thread after its last job. In a forked process it is not there."""
        if self._process == os.getpid():
            with self._lock:
                self._end(wait=False)

    def end_if_idle(self) -> None:
        """End the thread, and wait for that, unless it does a job or is not there."""
        if self._process == os.getpid():
            with self._lock:
                if self._last is None or self._last.done():
                    self._end(wait=True)

    def _end(self, wait: bool) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=wait)

    def _submitted(self, job: Callable[[], None]) -> Future[None]:
        if self._executor is not None:
            try:
                return self._executor.submit(job)
            except RuntimeError:
                return _done(job)
        may_run = threading.Event()  # a new thread would hold the interpreter lock for 5 ms

        def wait_and_run() -> None:
            may_run.wait()
            job()

        self._executor = ThreadPoolExecutor(1, self._name)
        try:
            return self._executor.submit(wait_and_run)
        except RuntimeError:
            return _done(job)
        finally:
            may_run.set()


_threads: WeakSet[IdleThread] = WeakSet()


def _done(job: Callable[[], None]) -> Future[None]:
    """Do a job at once: the interpreter exits, and starts no more threads."""
    done: Future[None] = Future()
    job()
    done.set_result(None)
    return done


@functools.cache
def _end_before_forks() -> None:
    """Have idle threads end before this process is forked; once for this process."""

    def end_all() -> None:
        for thread in [*_threads]:
            thread.end_if_idle()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=end_all)
