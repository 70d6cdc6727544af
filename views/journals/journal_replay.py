"""Run handlers on what a journal says, with no model and no data: for tests of handlers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ...engine import Chart, Trainer
from ...events import CancelFitException, TrainerProtocol, TrainState, Transition, cancel_for
from ...events.recovery import BEGIN_RETRY, BEGIN_ROLLBACK, RetryBatchException
from ...events.state_parts import LIVE
from .journal_reader import JournalError, JournalReader, Line

_NOT_JSON = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class RecordedError(RuntimeError):
    """The error by which the run of a replayed journal ended."""


def replay(journal: str | Path, handlers: Iterable[Any]) -> TrainState:
    """Run handlers on the first fit of a journal; returns the state, as `trainer.fit` does.

    The signals are those of the journal, with its counters, its reported values, and the fields
    that it has in full; the others are None. Model and optimizer are stand-ins with one weight.
    What handlers raise acts as in a fit: after a cancel of a scope the replay goes on behind it.
    What they write is read by the other handlers, but the journal says what follows: a changed
    `n_epochs` or `validate_next` has no effect. A cancel of the journal is raised again, unless a
    handler has closed that scope before; an error of it as a RecordedError.

    Cost: the fit of the journal is read into memory.

    Raises:
        JournalError: it is not a journal, does not begin with a fit, or has a rollback.
        RecordedError: the recorded run failed.
        Exception: raised by a handler.
    """
    recorded = RecordedFit(JournalReader(journal))
    model = torch.nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    chart = Chart(recorded.rows, recorded.roles)
    work = {leaf.removesuffix(".run"): recorded.activity(leaf) for leaf in recorded.leaves}
    trainer = Trainer(model, torch.nn.MSELoss(), optimizer, chart=chart, activities=work)
    trainer.on("any_transition")(recorded.follow)
    for handler in handlers:
        trainer.attach(handler)
    loader = _Loader(recorded.length_of_pass("pass"))
    return trainer.fit(loader, epochs=recorded.lines[0]["n_epochs"])


class _Loader:
    """Has a length, and no batches: no activity reads it."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class RecordedFit:
    """The first fit of a journal, as activities that return its triggers.

    Attributes:
        lines: its transitions; the values reported after each are in its `reported`.
    """

    def __init__(self, reader: JournalReader) -> None:
        header = reader.header
        self.rows = header["rows"]
        self.roles: dict[str, Any] = header.get("roles", {})
        self.lines = _first_fit(reader)
        self._full = [name for name in header["full"] if name in LIVE]
        self._every: int = header["every"]
        self._next = 0
        self._values: dict[str, Any] = {}

    @property
    def leaves(self) -> list[str]:
        """The phases in which the engine needs an activity."""
        return list(dict.fromkeys(row[2] for row in self.rows if _is_working(row[2])))

    def length_of_pass(self, role: str) -> int:
        """The number of batches in the first pass of a role; 0 without one."""
        scopes = [name for name, other in self.roles.items() if other == role]
        inside = (line for line in self.lines if {*scopes} & {*line["from"].split(".")})
        return next((n for line in inside if (n := line["n_batches"]) is not None), 0)

    def activity(self, leaf: str) -> Any:
        """An activity that makes the next transition out of a phase that the journal has."""

        def work(state: TrainState) -> str:
            found = (n for n in range(self._next, len(self.lines)) if self._leaves(n, leaf))
            number = next(found, None)
            if number is None:
                raise CancelFitException("the journal ends here")
            line, self._next = self.lines[number], number
            if line["trigger"] == BEGIN_RETRY:
                raise RetryBatchException(line.get("reason", ""), budget=len(self.lines))
            if "closed_by" in line:
                raise self._recorded_cause(line)
            self._next += 1
            self._apply(line, state)
            trigger: str = line["trigger"]
            return trigger

        return work

    def follow(self, trainer: TrainerProtocol, state: TrainState, transition: Transition) -> None:
        """Report what was reported at this transition; runs before every other receiver."""
        at = next((n for n in (self._next - 1, self._next) if self._is_at(n, transition)), None)
        if at is None:
            return
        self._next = at + 1
        if at == 0:
            self._apply(self.lines[at], state)
            state.valid_loader = self._valid_loader()
        if reported := self.lines[at]["reported"]:
            state.report(**reported)

    def _leaves(self, number: int, leaf: str) -> bool:
        return bool(self.lines[number]["from"] == leaf)

    def _is_at(self, number: int, transition: Transition) -> bool:
        line = self.lines[number] if 0 <= number < len(self.lines) else {}
        return [line.get(name) for name in ("trigger", "from", "to")] == [*transition]

    def _valid_loader(self) -> _Loader | None:
        has_one = any(line["trigger"] == self._begin("evaluation") for line in self.lines)
        return _Loader(self.length_of_pass("evaluation")) if has_one else None

    def _begin(self, role: str) -> str:
        return next((f"begin_{name}" for name, other in self.roles.items() if other == role), "")

    def _recorded_cause(self, line: Line) -> BaseException:
        """What closed scopes in the recorded run, from its first line on."""
        for later in self.lines[self._next :]:
            name = later["trigger"].removeprefix("after_cancel_")
            if name != later["trigger"]:
                return cancel_for(name)(line["reason"])
            if name == "after_error":
                break
        return RecordedError(f"{line['closed_by']}: {line['reason']}")

    def _apply(self, line: Line, state: TrainState) -> None:
        """Write the counters and values of a line into the state."""
        if line["trigger"] == self._begin("round"):
            state.clear_metrics()
        state.epoch, state.batch_index = line["epoch"], line["batch"]
        state.step, state.samples = line["step"], line["samples"]
        state.n_epochs, state.n_batches = line["n_epochs"], line["n_batches"]
        scopes = line["to"].split(".")
        if state.pass_scope in scopes or self._begin("evaluation")[6:] in scopes:
            state.training = state.pass_scope in scopes
        state.batch_size = line.get("batch_size", 0 if line["batch"] < 0 else state.batch_size)
        self._values |= line.get("fields", {})
        if state.unit_scope in scopes:
            self._set_fields(line, state)

    def _set_fields(self, line: Line, state: TrainState) -> None:
        begins = line["trigger"] == f"begin_{state.unit_scope}"
        if begins:
            for name in LIVE:
                setattr(state, name, None)
        changed = self._full if begins else line.get("fields", {})
        for name in self._full:
            if name in changed and line["batch"] % self._every == 0:
                setattr(state, name, _value(self._values.get(name)))


def _first_fit(reader: JournalReader) -> list[Line]:
    """The transitions of the first fit, each with what was reported before the next one."""
    lines: list[Line] = []
    for line in reader:
        if "trigger" in line:
            if lines and "." not in lines[-1]["to"]:
                break
            lines.append({**line, "reported": {}})
        elif lines:
            reported = line.get("reported", {}).items()
            lines[-1]["reported"] |= {name: _value(found) for name, found in reported}
    if not lines or "." in lines[0]["from"] or not lines[0]["trigger"].startswith("begin_"):
        raise JournalError(f"{reader.path} does not begin with a fit, so it cannot be replayed")
    for line in lines:
        if line["trigger"] == BEGIN_ROLLBACK:
            raise JournalError(
                f"{reader.path} has a rollback after {line['step']} steps: what it goes back to is "
                "not in a journal, so it cannot be replayed"
            )
    limits = {"n_epochs": lines[-1].get("n_epochs"), "n_batches": None}
    for line in reversed(lines):  # those of a batch are written where it ends
        limits = {name: line.setdefault(name, found) for name, found in limits.items()}
    return lines


def _is_working(leaf: str) -> bool:
    return "." in leaf and leaf.rpartition(".")[2] not in ("cancelled", "failing")


def _value(found: Any) -> Any:
    """What a value in full stands for."""
    if isinstance(found, Mapping):
        if {*found} == {"dtype", "values"}:
            values = _numbers(found["values"])
            return torch.tensor(values, dtype=getattr(torch, found["dtype"]))
        return {name: _value(part) for name, part in found.items()}
    if isinstance(found, list):
        return tuple(map(_value, found))
    return _NOT_JSON.get(found, found) if isinstance(found, str) else found


def _numbers(found: Any) -> Any:
    if isinstance(found, list):
        return [_numbers(part) for part in found]
    return _NOT_JSON.get(found, found) if isinstance(found, str) else found
