"""A study in its file: what was asked for, the fits that were made, the process that runs it."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ...handlers.recording.process_identity import boot, pid_namespace, start_time
from ..output.usage_error import UsageError
from .study_database import open_database
from .trial_result import Result, Trial

_COUNTERS = ("epoch", "step", "samples", "lr", "outcome")


class KeptTrial(NamedTuple):
    """A fit in the file, with what the tables need of it."""

    trial: Trial
    outcome: str | None
    reason: str
    error: str
    seconds: float | None
    rows: list[dict[str, Any]]
    costs: dict[str, tuple[int, int]]
    facts: dict[str, Any]

    def value(self, metric: str) -> float | None:
        """The last value of a metric; None if there is none, or it is not finite."""
        if self.outcome in (None, "failed"):
            return None
        found = [row[metric] for row in self.rows if row.get(metric) is not None]
        is_number = bool(found) and isinstance(found[-1], (int, float))
        return float(found[-1]) if is_number else None


class StudyFile:
    """A study in a file, open for writing by one process at a time.

    Args:
        path: created, if needed, with its folder.
        factory: its target.
        epochs: of each fit; None: of the job.
        handlers: the names of all that the trainer has.

    Raises:
        UsageError: the file is not one of studies, is of another factory or other handlers, cannot
            be written, or another process runs this study.
    """

    def __init__(
        self, path: Path, factory: str, epochs: int | None, handlers: Sequence[str]
    ) -> None:
        self.path = path
        self._database = open_database(path)
        self.id = self._find_or_add(factory, epochs, json.dumps([*handlers]))

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Be the only process that runs this study, inside the block."""
        with self._writing() as database:
            database.execute("BEGIN IMMEDIATE")
            [[holder]] = database.execute("SELECT process FROM studies WHERE id = ?", [self.id])
            if holder is not None and (pid := _running(json.loads(holder))):
                raise UsageError(f"process {pid} runs the study in {self.path}; wait for it")
            self._set_process(json.dumps(_this_process()))
        try:
            yield
        finally:
            with self._writing():
                self._set_process(None)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction.

        Raises:
            UsageError: the file is locked by another program, or cannot be written.
        """
        try:
            with self._database as database:
                yield database
        except sqlite3.Error as error:
            raise UsageError(f"cannot write the study {self.path}: {error}") from None

    def close(self) -> None:
        self._database.close()

    def add(self, trials: Sequence[Trial]) -> None:
        """Add those that the file does not have."""
        with self._writing() as database:
            database.executemany(
                "INSERT OR IGNORE INTO trials (study, without, arguments, seed) "
                "VALUES (?, ?, ?, ?)",
                [(self.id, *_key(trial)) for trial in trials],
            )

    def open_trials(self, trials: Sequence[Trial]) -> list[Trial]:
        """Those of `trials` that were not made yet, or failed."""
        return [trial for trial in trials if self.read(trial).outcome in (None, "failed")]

    def write(self, trial: Trial, result: Result) -> None:
        """Keep the result of a fit, in the place of an earlier one."""
        number = self._number(trial)
        facts = json.dumps(result.get("facts", {}))
        with self._writing() as database:
            for table in ("epochs", "costs"):
                database.execute(f"DELETE FROM {table} WHERE trial = ?", [number])
            database.executemany(
                "INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(number, n, *_epoch(row)) for n, row in enumerate(result.get("rows", []))],
            )
            database.executemany(
                "INSERT INTO costs VALUES (?, ?, ?, ?)",
                [(number, name, *cost) for name, cost in result.get("costs", {}).items()],
            )
            database.execute(
                "UPDATE trials SET outcome = ?, reason = ?, error = ?, seconds = ?, facts = ? "
                "WHERE id = ?",
                [
                    result["outcome"],
                    result["reason"],
                    result["error"],
                    result.get("seconds"),
                    facts,
                    number,
                ],
            )

    def read(self, trial: Trial) -> KeptTrial:
        """A fit, with its rows; its outcome is None if it was not made yet."""
        number = self._number(trial)
        [[outcome, reason, error, seconds, facts]] = self._database.execute(
            "SELECT outcome, reason, error, seconds, facts FROM trials WHERE id = ?", [number]
        )
        rows = self._database.execute(
            "SELECT epoch, step, samples, lr, outcome, metrics FROM epochs WHERE trial = ? "
            "ORDER BY number",
            [number],
        )
        costs = self._database.execute(
            "SELECT handler, calls, ns FROM costs WHERE trial = ?", [number]
        )
        return KeptTrial(
            trial,
            outcome,
            reason or "",
            error or "",
            seconds,
            [dict(zip(_COUNTERS, row, strict=False)) | json.loads(row[-1]) for row in rows],
            {name: (calls, ns) for name, calls, ns in costs},
            json.loads(facts or "{}"),
        )

    def _number(self, trial: Trial) -> int:
        [[number]] = self._database.execute(
            "SELECT id FROM trials WHERE study = ? AND without = ? AND arguments = ? AND seed = ?",
            [self.id, *_key(trial)],
        )
        return int(number)

    def _find_or_add(self, factory: str, epochs: int | None, handlers: str) -> int:
        with self._writing() as database:
            database.execute("BEGIN IMMEDIATE")  # so that two first starts do not both add it
            number = self._found(factory, epochs, handlers)
            if number is not None:
                return number
            added = database.execute(
                "INSERT INTO studies (factory, epochs, handlers) VALUES (?, ?, ?)",
                [factory, epochs, handlers],
            )
            return int(added.lastrowid or 0)

    def _found(self, factory: str, epochs: int | None, handlers: str) -> int | None:
        """The number of the study in the file, if that has it.

        Raises:
            UsageError: the file has one of another factory, or of other handlers.
        """
        found = [*self._database.execute("SELECT id, factory, epochs, handlers FROM studies")]
        for number, kept_factory, kept_epochs, kept_handlers in found:
            if kept_factory != factory:
                raise UsageError(
                    f"{self.path} has a study of {kept_factory}, and this one is of {factory}; "
                    "give it another file"
                )
            if kept_epochs == epochs and kept_handlers == handlers:
                return int(number)
            if kept_epochs == epochs:
                raise UsageError(
                    f"{self.path} has fits with the handlers {_listed(kept_handlers)}, and now "
                    f"{factory} has {_listed(handlers)}; give this study another file"
                )
        return None

    def _set_process(self, process: str | None) -> None:
        self._database.execute("UPDATE studies SET process = ? WHERE id = ?", [process, self.id])


def study_facts(path: Path) -> dict[str, Any]:
    """The facts of the newest fit in the file of a study."""
    database = open_database(path)
    try:
        [*found] = database.execute(
            "SELECT facts FROM trials WHERE facts IS NOT NULL ORDER BY id DESC LIMIT 1"
        )
    finally:
        database.close()
    return dict(json.loads(found[0][0])) if found else {}


def _key(trial: Trial) -> tuple[str, str, int]:
    arguments = json.dumps(dict(trial.arguments), sort_keys=True)
    return json.dumps([*trial.without]), arguments, trial.seed


def _epoch(row: dict[str, Any]) -> tuple[Any, ...]:
    metrics = {name: v for name, v in row.items() if name not in _COUNTERS and name != "fit"}
    return *(row.get(name) for name in _COUNTERS), json.dumps(metrics)


def _listed(handlers: str) -> str:
    return ", ".join(json.loads(handlers)) or "none"


def _this_process() -> list[Any]:
    return [*_machine(), os.getpid(), start_time(os.getpid())]


def _machine() -> list[str]:
    return [platform.node(), boot(), pid_namespace()]


def _running(holder: list[Any]) -> int | None:
    """The process that claimed the study, if it still runs; one of another machine cannot."""
    *machine, pid, started = holder
    is_alive = machine == _machine() and pid != os.getpid() and start_time(pid) == started
    return int(pid) if is_alive else None
