"""A thread that waits for work, and is not there when the process is forked."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from weakref import WeakSet

from .._python_internals import call_before_exit


class Job:
    """Work that a thread does once; a `Future` takes twice as long to hand over."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work
        self._error: BaseException | None = None
        self._undone = threading.Lock()
        self._undone.acquire()

    def do(self) -> None:
        """Do the work, and keep its error."""
        try:
            work, self._work = self._work, None
            assert work is not None
            work()
        except BaseException as error:
            self._error = error
        finally:
            self._undone.release()

    def done(self) -> bool:
        """Whether the work has ended."""
        return not self._undone.locked()

    def error(self) -> BaseException | None:
        """Wait for the end of the work, and return its error."""
        with self._undone:
            return self._error

    def wait(self) -> None:
        """Wait for the end of the work. Raises: its error."""
        error, self._error = self.error(), None  # whose traceback has `do`, and so this job
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback has this frame


class IdleThread:
    """Does one job after the other in a thread, which starts with the first one.

    An idle thread ends before the process is forked, as a loader does at the begin of a pass: the
    new process then has one thread, and inherits no lock. The next job starts another one. Before
    the interpreter exits it does the jobs that it has.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.RLock()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._last: Job | None = None
        _follow_the_process()
        _threads.add(self)

    def submit(self, work: Callable[[], None]) -> Job:
        """Have the thread do a job; while the interpreter exits, it is done at once."""
        if self._process != os.getpid():  # the thread and its locks are those of the parent
            IdleThread.__init__(self, self._name)
        with self._lock:
            self._last = job = Job(work)
            if self._thread is None and not self._has_started():
                job.do()
            else:
                self._jobs.put(job)
            return job

    def end(self, wait: bool = False) -> None:
        """End the thread after its last job. In a forked process it is not there."""
        if self._process != os.getpid():
            return
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._jobs.put(None)
                self._jobs = SimpleQueue()
                if wait:
                    thread.join()

    def end_if_idle(self) -> None:
        """End the thread, and wait for that, unless it does a job or is not there."""
        if self._process == os.getpid():
            with self._lock:
                if self._last is None or self._last.done():
                    self.end(wait=True)

    def __del__(self) -> None:
        if self._thread is not None and self._process == os.getpid():
            self._jobs.put(None)

    def _has_started(self) -> bool:
        if _exits:
            return False
        thread = threading.Thread(target=_do_all, args=(self._jobs,), name=self._name)
        try:
            thread.start()
        except RuntimeError:  # the interpreter, or the system, starts no more threads
            return False
        except BaseException:  # an interrupt, after which the thread may have started
            self._jobs.put(None)
            self._jobs = SimpleQueue()
            raise
        self._thread = thread
        return True


_threads: WeakSet[IdleThread] = WeakSet()
_exits: list[bool] = []  # not empty while the interpreter exits


def _do_all(jobs: SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job.do()
        del job  # while it waits for the next one


@functools.cache
def _follow_the_process() -> None:
    """End threads before this process is forked, if they are idle, and before it exits."""

    def end_idle() -> None:
        for thread in [*_threads]:
            thread.end_if_idle()

    def end_all() -> None:
        _exits.append(True)
        for thread in [*_threads]:
            thread.end(wait=True)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=end_idle)
    try:
        call_before_exit(end_all)
    except RuntimeError:  # it exits now
        _exits.append(True)
