"""Shared code of the two services: request parsing and the table of runs."""

import json
import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import wait
from functools import cache
from itertools import count
from typing import Any, NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from trackside import Metrics, Run, Trainer

HOSTS = ["127.0.0.1", "localhost"]
LARGEST_BODY = 4096  # bytes
AT_ONCE = 4  # unfinished runs
REMEMBERED = 100  # runs, finished ones included


class Refused(Exception):
    """An error response: an HTTP status and a sentence for the client."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Number(NamedTuple):
    """Type, range and default of a numeric field of a request."""

    kind: type[int] | type[float]
    least: float
    most: float
    default: float


OPTIONS = {
    "epochs": Number(int, 1, 100_000, 5),
    "batch_size": Number(int, 1, 1024, 64),
    "learning_rate": Number(float, 1e-6, 10, 0.01),
}


def parse(content_type: str, body: bytes) -> dict[str, Any]:
    """Parse the JSON object in the body of a POST; an empty body counts as `{}`.

    The content type must be JSON: pages of other sites cannot send that without a preflight.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, f"the content type is {content_type!r}; allowed: application/json")
    try:
        asked = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is no JSON: {error}") from None
    if not isinstance(asked, dict):
        raise Refused(400, f"the body is a JSON {type(asked).__name__}; expected an object")
    return asked


def check_fields(asked: dict[str, Any], *allowed: str) -> None:
    """Refuse unknown fields."""
    if unknown := sorted(asked.keys() - set(allowed)):
        raise Refused(
            422, f"unknown: {', '.join(map(repr, unknown))}; allowed: {', '.join(allowed) or '-'}"
        )


def options(asked: dict[str, Any]) -> dict[str, Any]:
    """The options of a run: the requested ones, and defaults for the others."""
    check_fields(asked, *OPTIONS)
    return {name: _number(name, asked.get(name, n.default), n) for name, n in OPTIONS.items()}


def _number(name: str, value: Any, allowed: Number) -> float:
    is_number = isinstance(value, (int, allowed.kind)) and not isinstance(value, bool)
    if not is_number or not allowed.least <= value <= allowed.most:
        raise Refused(
            422,
            f"{name} is {json.dumps(value)[:40]}; allowed: {allowed.kind.__name__} "
            f"from {allowed.least:g} to {allowed.most:g}",
        )
    return allowed.kind(value)


def described(number: int, run: Run) -> dict[str, Any]:
    """The progress of a run, as data for JSON."""
    done = run.done()
    status = run.status()
    error = run.exception() if done else None
    return {
        "run": number,
        "done": done,
        "error": None if error is None else f"{type(error).__name__}: {error}",
        **status._asdict(),
        # JSON has neither nan nor inf
        "metrics": {k: v if math.isfinite(v) else None for k, v in status.metrics.items()},
    }


class Runs:
    """The fits that clients have started, by number. Thread-safe.

    Args:
        handlers: returns extra handlers for the run with the given number.
        forget: called with the number of a run that is no longer remembered.
    """

    def __init__(
        self,
        handlers: Callable[[int], Iterable[Any]] = lambda number: (),
        forget: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._handlers = handlers
        self._forget_run = forget
        self._runs: dict[int, Run] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._closed = False

    def start(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Start a fit with the requested options."""
        chosen = options(asked)
        with self._lock:
            if self._closed:
                raise Refused(503, "the service is stopping")
            if sum(not run.done() for run in self._runs.values()) >= AT_ONCE:
                raise Refused(429, f"{AT_ONCE} runs are under way; cancel one, or wait")
            number = next(self._numbers)
            self._runs[number] = _start(number, self._handlers(number), **chosen)
            self._forget()
        return self.describe(number)

    def overview(self) -> list[dict[str, Any]]:
        """The progress of all remembered runs, the newest last."""
        return [described(number, run) for number, run in list(self._runs.items())]

    def describe(self, number: int) -> dict[str, Any]:
        """The progress of a run."""
        return described(number, self[number])

    def pause(self, number: int, asked: dict[str, Any]) -> dict[str, Any]:
        """Pause a run."""
        check_fields(asked)
        self._under_way(number).pause()
        return self.describe(number)

    def resume(self, number: int, asked: dict[str, Any]) -> dict[str, Any]:
        """Resume a paused run."""
        check_fields(asked)
        self._under_way(number).resume()
        return self.describe(number)

    def cancel(self, number: int, asked: dict[str, Any]) -> dict[str, Any]:
        """Cancel the requested `scope` of a run, by default the fit, with the given `reason`."""
        check_fields(asked, "scope", "reason")
        scope, reason = asked.get("scope", "fit"), asked.get("reason", "asked for by a client")
        if not (isinstance(scope, str) and isinstance(reason, str)):
            raise Refused(422, "scope and reason are strings")
        try:
            self._under_way(number).cancel(scope, reason)
        except ValueError as error:
            raise Refused(422, str(error)) from None
        return self.describe(number)

    def cancel_all(self) -> None:
        """Accept no more runs and cancel all; safe in a signal handler."""
        self._closed = True
        for run in list(self._runs.values()):
            run.cancel("fit", "the service stops")

    def close(self) -> None:
        """Cancel every fit and wait until all scopes are closed."""
        self.cancel_all()
        with self._lock:  # a run that was being started is in the table now
            self.cancel_all()
        wait(self._runs.values())

    def __getitem__(self, number: int) -> Run:
        if number not in self._runs:
            raise Refused(404, f"there is no run {number}")
        return self._runs[number]

    def _under_way(self, number: int) -> Run:
        run = self[number]
        if run.done():
            raise Refused(409, f"run {number} has ended")
        return run

    def _forget(self) -> None:
        ended = [number for number, run in self._runs.items() if run.done()]
        for number in ended[: max(len(self._runs) - REMEMBERED, 0)]:
            del self._runs[number]
            self._forget_run(number)


def _start(
    number: int, handlers: Iterable[Any], epochs: int, batch_size: int, learning_rate: float
) -> Run:
    train, valid = random_split(_digits(), [0.8, 0.2])
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate)
    attached = [Metrics(), *handlers]
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, attached, name=f"run-{number}")
    loader = DataLoader(train, batch_size, shuffle=True)
    return trainer.start(loader, DataLoader(valid, 512), epochs)


@cache
def _digits() -> TensorDataset:
    images, targets = load_digits(return_X_y=True)
    return TensorDataset(torch.tensor(images / 16).float(), torch.tensor(targets))
