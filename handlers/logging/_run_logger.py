"""What the loggers share: a run for each fit, its rows, and their values as plain Python."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import torch

from ...events import TrainerProtocol, TrainState
from ...events.log import log

Row = dict[str, Any]


class RunLogger:
    """Makes a run of each fit: a row for each epoch, and one for every n-th step if asked.

    The run is opened when the fit begins, or with its first row where the logger came later, and
    closed when the fit ends, or the logger. How is for the subclass to say: `_open`, `_write`,
    `_close`.

    Args:
        every: optimizer steps from one logged loss to the next; None: no step is logged.

    Raises:
        TypeError, ValueError: `every` is no int from 1.
    """

    on_error = "detach"
    runs_after = ("Metrics",)
    runs_before = ("LRSchedule",)  # which may set the rate of the next epoch at after_epoch

    def __init__(self, every: int | None) -> None:
        self.every = every
        name = type(self).__name__
        if every is not None and (isinstance(every, bool) or not isinstance(every, int)):
            raise TypeError(f"{name}(every={every!r}): allowed: an int, from 1, or None")
        if every is not None and every < 1:
            raise ValueError(f"{name}(every={every}): allowed: an int, from 1, or None")
        self._fit = -1
        self._is_open = False

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._open_once()

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._is_open = True

    def state_dict(self) -> Row:
        run = self._run() if self._is_open else None
        return {"fit": self._fit, "run": run}

    def load_state_dict(self, state: Row) -> None:
        self._fit = state["fit"]
        self._is_open = self._is_open and state["run"] is not None
        if self._is_open:
            self._go_on(state["run"])

    def after_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.every is None or state.step % self.every or state.outcome != "completed":
            return
        loss = plain(state.loss)
        if loss is not None:
            self._log(state, {}, {"loss": loss})

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._log(state, flat(state.metrics), {"outcome": state.outcome})

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._close_once(state.outcome)

    def detached(self, trainer: TrainerProtocol) -> None:
        try:
            self._close_once("cancelled")
        except Exception:  # whoever takes it off in the middle of a fit, the fit goes on
            log.exception("%s could not close its run", type(self).__name__)

    def _log(self, state: TrainState, metrics: Row, own: Row) -> None:
        self._open_once()
        counters = {
            "fit": self._fit,
            "epoch": state.epoch,
            "step": state.step,
            "samples": state.samples,
            "lr": plain(state.lr),
            **own,
        }
        self._write({**counters, **metrics, **counters})  # the order of the first, their values

    def _open_once(self) -> None:
        if not self._is_open:
            self._fit += 1
            self._is_open = True  # what `_open` leaves half done is closed, too
            self._open()

    def _close_once(self, outcome: str) -> None:
        if self._is_open:
            self._is_open = False
            self._close(outcome)

    def _open(self) -> None:
        """Open run number `_fit`, which may be changed here."""
        raise NotImplementedError

    def _run(self) -> Row:
        """What `_go_on` needs to find the open run again."""
        raise NotImplementedError

    def _go_on(self, run: Row) -> None:
        """Open run number `_fit` again; what was logged after `run` was saved will come again."""
        raise NotImplementedError

    def _write(self, row: Row) -> None:
        """Write `fit`, `epoch`, `step`, `samples`, `lr`; `outcome` and metrics, or `loss`."""
        raise NotImplementedError

    def _close(self, outcome: str) -> None:
        raise NotImplementedError


class FileLogger(RunLogger):
    """A file of rows, one a line, in which a run follows the other.

    It is opened for each row, so that a row is there when it is written, and no file stays open.

    Args:
        path: of the file; what is there is continued. Its folder is made if it is missing.
        head: what every file of this kind begins with.

    Raises:
        ValueError: there is something else at `path`.
    """

    def __init__(self, path: str | Path, every: int | None, head: bytes) -> None:
        super().__init__(every)
        self.path = Path(path).resolve()  # the program may go to another folder meanwhile
        self._lines = 0
        name = type(self).__name__
        if self.path.exists() and not self.path.is_file():
            raise ValueError(f"{name}({str(path)!r}): that is no file; allowed: the path of a file")
        if self.path.exists() and not _begins_with(self.path, head):
            raise ValueError(
                f"{name}({str(path)!r}): that file is not one of {name}, which begins with "
                f"{head.decode()}; allowed: the path of one to continue, or of a new one"
            )

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = _whole_lines(self.path)
        self._fit = self._fit_of(lines[-1]) + 1 if lines else 0
        self._lines = len(lines)

    def _run(self) -> Row:
        return {"lines": self._lines}

    def _go_on(self, run: Row) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lines = len(_whole_lines(self.path, most=run["lines"]))
        if self._lines < run["lines"]:
            log.warning("%s has %s of its %s lines", self.path, self._lines, run["lines"])

    def _append(self, line: str) -> None:
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(line)
        self._lines += 1

    def _close(self, outcome: str) -> None:
        """Nothing is open between two rows."""

    def _fit_of(self, line: str) -> int:
        """The number of the fit that wrote `line`."""
        raise NotImplementedError


def imported(module: str, extra: str, by: RunLogger) -> Any:
    """A module of an optional dependency.

    Raises:
        ImportError: it is missing; says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{type(by).__name__} needs {extra}: pip install trackside[{extra}]"
        ) from error


def plain(value: Any) -> Any:
    """Tensors and arrays as numbers or lists; None for a tensor that has no values."""
    if isinstance(value, torch.Tensor) and value.is_meta:
        return None
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return value.item()
    return value.tolist() if hasattr(value, "tolist") else value


def flat(metrics: Mapping[str, Any], prefix: str = "") -> Row:
    """Plain values by name; those of a metric that is a mapping by both names, `all_accuracy`."""
    row: Row = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            row.update(flat(value, f"{prefix}{name}_"))
        else:
            row[f"{prefix}{name}"] = plain(value)
    return row


def numbers(row: Row) -> dict[str, float]:
    """What can be drawn over the steps: the numbers of a row, but those that say where it is."""
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, Real) and name not in ("fit", "step")
    }


def _begins_with(path: Path, head: bytes) -> bool:
    """Whether `path` begins with `head`, or with an unfinished one."""
    with path.open("rb") as file:
        return head.startswith(file.read(len(head)))


def _whole_lines(path: Path, most: int | None = None) -> list[str]:
    """The lines of a file, if there is one; what comes after `most` of them is cut off.

    So is a last line that a full disk or a power cut left unfinished.
    """
    if not path.exists():
        return []
    with path.open("rb+") as file:
        lines = [line for line in file if line.endswith(b"\n")][:most]
        file.truncate(sum(map(len, lines)))
    return [line.decode().rstrip("\n") for line in lines]
