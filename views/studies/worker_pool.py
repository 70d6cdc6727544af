"""Worker processes that run the fits of a study, several at once."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from ..jobs.named_job import request_of_target
from ..output.usage_error import UsageError

K = TypeVar("K")
_ATTEMPTS = 2


class Task(NamedTuple):
    """A request, and how often it was tried."""

    key: Any
    request: Mapping[str, Any]
    attempt: int = 1


class Worker:
    """A process that has imported the module of a factory, and runs one fit after the other.

    Raises:
        UsageError: the factory cannot be imported.
    """

    def __init__(self, request: str) -> None:
        self.task: Task | None = None
        self._target = json.loads(request)["factory"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.trial_worker"],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for this process, which then ends the workers
        )
        self._send([request, sys.orig_argv])

    def fileno(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def begin(self, task: Task) -> None:
        """Send a request; if the process has died, there is no answer."""
        self.task = task
        self._send(task.request)

    def _send(self, what: Any) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()

    def check_ready(self) -> None:
        answer = self.answer()
        if "ready" not in answer:
            raise UsageError(answer.get("refused") or f"cannot import {self._target}: see above")

    def answer(self) -> dict[str, Any]:
        """Wait for the answer; of a process that has died, how."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line.endswith(b"\n"):
            return dict(json.loads(line))
        code = self._process.wait()
        return {"died": f"signal {-code}" if code < 0 else f"exit code {code}", "worker": True}

    def close(self) -> None:
        """End the process, and the fit that it runs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class WorkerPool:
    """Up to `jobs` workers of one factory; the first is started at once.

    A fit whose process dies is made again, once.

    Args:
        target: the factory, in messages.
        jobs: fits at the same time.
        request: the job, as `request_of` writes it; None: of a factory without arguments.

    Raises:
        UsageError: the factory cannot be imported.
        RuntimeError: the system cannot fork.
    """

    def __init__(self, target: str, jobs: int, request: str | None = None) -> None:
        if not hasattr(os, "fork"):
            raise RuntimeError("a study needs os.fork, which this system does not have")
        self.target = target
        self._jobs = jobs
        self._request = request or request_of_target(target)
        self._workers: list[Worker] = []
        try:
            self._start().check_ready()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers, and the fits that they run."""
        while self._workers:
            self._workers.pop().close()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        [(_, answer)] = self.answers([(None, request)])
        return answer

    def answers(
        self, requests: Iterable[tuple[K, Mapping[str, Any]]]
    ) -> Generator[tuple[K, dict[str, Any]], None, None]:
        """Run requests, each with a key; yield key and answer as they are done."""
        waiting = deque(Task(key, request) for key, request in requests)
        self._start_more(len(waiting))
        with selectors.DefaultSelector() as selector:
            try:
                for worker in self._workers:
                    self._begin_next(worker, waiting, selector)
                while selector.get_map():
                    for ready, _ in selector.select():
                        yield from self._take(ready.fileobj, waiting, selector)
            finally:
                for key in [*selector.get_map().values()]:  # nobody waits for their answers
                    self._end(key.fileobj)

    def _take(
        self, worker: Any, waiting: deque[Task], selector: selectors.BaseSelector
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Read the answer of a worker, and give it the next request."""
        selector.unregister(worker)
        task, answer = worker.task, worker.answer()
        if "worker" in answer:
            self._end(worker)
            worker = self._start()
            worker.check_ready()
        is_final = "died" not in answer or task.attempt == _ATTEMPTS
        if not is_final:
            waiting.appendleft(task._replace(attempt=task.attempt + 1))
        self._begin_next(worker, waiting, selector)
        if is_final:
            yield task.key, answer

    def _begin_next(
        self, worker: Worker, waiting: deque[Task], selector: selectors.BaseSelector
    ) -> None:
        if waiting:
            worker.begin(waiting.popleft())
            selector.register(worker, selectors.EVENT_READ)

    def _start(self) -> Worker:
        worker = Worker(self._request)
        self._workers.append(worker)
        return worker

    def _start_more(self, wanted: int) -> None:
        started = [self._start() for _ in range(len(self._workers), min(self._jobs, wanted))]
        for worker in started:
            worker.check_ready()

    def _end(self, worker: Any) -> None:
        self._workers.remove(worker)
        worker.close()


def _environment() -> dict[str, str]:
    """One thread for each fit, unless the environment says another number: they run in parallel."""
    paths = os.pathsep.join(sys.path)
    return {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": paths}
