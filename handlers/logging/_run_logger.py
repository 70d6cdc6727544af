"""Base classes of the loggers: a run for each fit, and its rows as plain Python values."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ...events import Picture, RehearsalPlan, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from ...events.utils.log import log, log_exception
from .._copying import Copyable, LeftOut, nothing
from ..run_facts import run_facts
from ._row import Row, belongs_to_a_row, counters, plain_values, to_python


class _ClosedRun(NamedTuple):
    """What is needed to add a row to a run that has ended."""

    run: Row
    outcome: str


class RunLogger(Copyable):
    """Logs each fit as a run: a row for each epoch, and one for each report within an epoch.

    Optionally also one for every n-th step. The run is opened when the fit begins, or with its
    first row if the logger is attached later, and has the facts of the run. It is closed when the
    fit ends, or the logger is detached. A subclass implements `_open`, `_write_facts`, `_write`,
    `_close`, `_run_state` and `_reopen`; one that shows pictures also `_write_pictures`.

    Args:
        every: log the loss of every n-th optimizer step; None: log no steps.

    Raises:
        TypeError, ValueError: `every` is not an int from 1.
    """

    left_out: ClassVar[LeftOut] = {"_is_open": bool, "_writer": nothing, "run": nothing}

    on_error = "detach"
    main_only = True
    runs_after = ("Metrics",)
    runs_before = ("LRSchedule", "ReduceOnPlateau")  # a row has the rate that was trained with

    def __init__(self, every: int | None) -> None:
        self.every = every
        if every is not None:
            check_whole_number(f"{type(self).__name__}(every={every!r})", every, least=1)
        self.needs = ("reported",) if every is None else ("reported", "after_step")
        self._fit = -1
        self._is_open = self._may_reopen = False
        self._logged: Row = {}  # the metrics of the last row of an epoch
        self._last_run: _ClosedRun | None = None

    def rehearse(self, plan: RehearsalPlan) -> None:
        """Plan what the runs are written to, if it can be; nothing is opened or logged."""

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._open_once(state)

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._may_reopen = True  # if the checkpoint has a run of this logger

    def state_dict(self) -> Row:
        run = self._run_state() if self._is_open else None
        return {"fit": self._fit, "run": run}

    def load_state_dict(self, state: Row) -> None:
        self._fit = state["fit"]
        may_reopen, self._may_reopen = self._is_open or self._may_reopen, False
        self._is_open = may_reopen and state["run"] is not None
        if self._is_open:
            self._reopen(state["run"])

    def after_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.every is None or state.step % self.every or state.outcome != "completed":
            return
        loss = to_python(state.loss)
        if loss is not None:
            self._log(state, {}, {"loss": loss})

    def reported(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not belongs_to_a_row(state):
            return
        if state.job == "validate" and not self._is_open:
            self._log_evaluation(state)
            return
        logged, self._logged = self._logged, {}
        new = {name: v for name, v in state.reported.items() if logged.get(name, self) is not v}
        if new:
            self._log(state, plain_values(new), {})

    def _log_evaluation(self, state: TrainState) -> None:
        """Log the metrics of `validate()` to the run of the last fit, or to one of their own."""
        last, self._last_run = self._last_run, None
        if last is not None:
            self._is_open = True
            self._continue(last.run)
        self._log(state, plain_values(state.reported), {})
        self._write_pictures(state.pictures, state.step)
        self._close_once("completed" if last is None else last.outcome)

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._logged = dict(state.metrics)
        self._log(state, plain_values(state.metrics), {"outcome": state.outcome})
        self._write_pictures(state.pictures, state.step)

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._close_once(state.outcome)

    def detached(self, trainer: TrainerProtocol) -> None:
        try:
            self._close_once("cancelled")
        except Exception:  # detached during a fit, which must continue
            log_exception("%s could not close its run", type(self).__name__)

    def _log(self, state: TrainState, metrics: Row, own: Row) -> None:
        self._open_once(state)
        self._before_row()
        counted = {**counters(self._fit, state), **own}
        self._write({**counted, **metrics, **counted})  # first, and not overwritten by metrics

    def _open_once(self, state: TrainState) -> None:
        if not self._is_open:
            self._fit += 1
            self._is_open = True  # also close a run that `_open` has opened only in part
            self._open()
            self._write_facts(run_facts(state))

    def _close_once(self, outcome: str) -> None:
        if self._is_open:
            self._is_open = False
            self._last_run = _ClosedRun(self._run_state(), outcome)
            self._close(outcome)

    def _open(self) -> None:
        """Open run number `_fit`; may change `_fit`."""
        raise NotImplementedError

    def _write_facts(self, facts: Row) -> None:
        """Write the facts of the run that was opened."""
        raise NotImplementedError

    def _run_state(self) -> Row:
        """What `_reopen` needs to continue the open run; saved in checkpoints."""
        raise NotImplementedError

    def _reopen(self, run: Row) -> None:
        """Reopen run number `_fit`; rows logged after `run` was saved will be logged again."""
        raise NotImplementedError

    def _before_row(self) -> None:
        """Prepare to write a row."""

    def _continue(self, run: Row) -> None:
        """Open a closed run again, to add rows."""
        self._reopen(run)

    def _write(self, row: Row) -> None:
        """Write the counters and rates, then the metrics; for an epoch also its `outcome`."""
        raise NotImplementedError

    def _write_pictures(self, pictures: Mapping[str, Picture], step: int) -> None:
        """Write the pictures of an epoch or evaluation; files of rows have none."""

    def _close(self, outcome: str) -> None:
        raise NotImplementedError


class FileLogger(RunLogger):
    """Logs all runs to one file, a row a line.

    The file is opened and closed for each row, so that no written row is lost. The facts of each
    run are a line of JSON in a file beside it, `log.csv.facts`.

    Args:
        path: the file; an existing log is continued. Its folder is created.
        header: the first bytes of every log of this kind.

    Raises:
        ValueError: `path` is not such a log.
    """

    def __init__(self, path: str | Path, every: int | None, header: bytes) -> None:
        super().__init__(every)
        self.path = Path(path).resolve()  # the working directory may change later
        self._lines = 0
        self._has_later_lines = False
        name = type(self).__name__
        if self.path.exists() and not self.path.is_file():
            raise ValueError(f"{name}({str(path)!r}): that is no file; allowed: the path of a file")
        if self.path.exists() and not _begins_with(self.path, header):
            raise ValueError(
                f"{name}({str(path)!r}): that file is not a log of {name}, which begins with "
                f"{header.decode()}; allowed: a log to continue, or a new file"
            )

    @property
    def _facts_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.facts")

    def rehearse(self, plan: RehearsalPlan) -> None:
        plan.will_write(self.path)
        plan.will_write(self._facts_path)

    def _open(self) -> None:
        self._has_later_lines = False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = _recover_lines(self.path)
        self._fit = self._fit_number(lines[-1]) + 1 if lines else 0
        self._lines = len(lines)

    def _write_facts(self, facts: Row) -> None:
        with self._facts_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"fit": self._fit, "facts": facts}) + "\n")

    def _run_state(self) -> Row:
        return {"lines": self._lines}

    def _reopen(self, run: Row) -> None:
        self._lines, self._has_later_lines = run["lines"], True

    def _before_row(self) -> None:
        if self._has_later_lines:
            self._remove_later_lines()

    def _continue(self, run: Row) -> None:
        """No file is open between two rows."""

    def _remove_later_lines(self) -> None:
        """Remove what was logged after the checkpoint; not before the fit has really resumed."""
        self._has_later_lines = False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        expected, self._lines = self._lines, len(_recover_lines(self.path, most=self._lines))
        if self._lines < expected:
            log.warning("%s has %s of its %s lines", self.path, self._lines, expected)

    def _append(self, line: str) -> None:
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(line)
        self._lines += 1

    def _close(self, outcome: str) -> None:
        """No file is open between two rows."""

    def _fit_number(self, line: str) -> int:
        """The number of the fit that wrote `line`."""
        raise NotImplementedError


def import_extra(module: str, extra: str, by: object) -> Any:
    """Import a module of an optional dependency.

    Raises:
        ImportError: it is not installed; the message names the extra that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{type(by).__name__} needs {extra}: pip install 'trackside[{extra}]'"
        ) from error


def scalar_values(row: Row) -> dict[str, float]:
    """The numbers of a row that can be plotted over the steps: all but `fit` and `step`."""
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, Real) and name not in ("fit", "step")
    }


def _begins_with(path: Path, header: bytes) -> bool:
    """Whether `path` begins with `header`, or is shorter and begins like it."""
    with path.open("rb") as file:
        return header.startswith(file.read(len(header)))


def _recover_lines(path: Path, most: int | None = None) -> list[str]:
    """The first `most` lines of a file, which is truncated to them; empty if it does not exist.

    A last line that a full disk or a power cut left incomplete is removed, too.
    """
    if not path.exists():
        return []
    with path.open("rb+") as file:
        lines = [line for line in file if line.endswith(b"\n")][:most]
        file.truncate(sum(map(len, lines)))
    return [line.decode().rstrip("\n") for line in lines]
