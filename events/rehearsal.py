"""What a rehearsal of a fit finds: the plan of the fit, and what would go wrong."""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .state import TrainState
from .utils.byte_size import format_bytes

_SHOWN = 8
_LEVELS = "▁▂▃▄▅▆▇█"
_WIDTH = 60


@dataclass(frozen=True)
class PlannedEvent:
    """Something that the fit would do.

    Attributes:
        step: optimizer updates made before it.
        epoch: 0-based.
        what: "validation", "checkpoint step-000000000100", "cancel of the epoch: …".
    """

    step: int
    epoch: int
    what: str


@dataclass
class RehearsalPlan:
    """What a fit would do, as `trainer.rehearse` found it; `print(plan)` shows all of it.

    A handler adds to it in its method `rehearse(plan)` and in what runs in its place.

    Attributes:
        problems: what would go wrong, one text each; empty if nothing was found.
        remarks: warnings of the rehearsed fit.
        transitions: number of sends of each signal.
        receivers: by signal, who is called, in order, "EMA.after_step".
        rates: by optimizer, the learning rate of the first group in each update.
        events: validations, checkpoints, cancels, and what handlers announce, in order.
        files: files and folders that would be written, with their bytes; None: not known.
        left_out: handlers that were not rehearsed, with the reason.
        state_bytes: bytes of the weights, buffers and optimizer state; None: not known.
        outcome: how the fit would end: `completed`, `cancelled`, `failed`.
    """

    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    transitions: Counter[str] = field(default_factory=Counter)
    receivers: dict[str, list[str]] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    events: list[PlannedEvent] = field(default_factory=list)
    files: dict[Path, int | None] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    state_bytes: int | None = None
    outcome: str = "completed"

    @property
    def ok(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def will_do(self, state: TrainState, what: str) -> None:
        """Add an event at the present step and epoch."""
        self.events.append(PlannedEvent(state.step, state.epoch, what))

    def will_write(self, path: str | Path, size: int | None = None) -> None:
        """Add a file or folder; it is a problem if it could not be created.

        Cost: looks at the folders above it; creates nothing.
        """
        path = Path(path).absolute()
        self.files[path] = size
        self.check_writable(path)

    def check_writable(self, path: Path) -> None:
        """Add a problem if a file or folder could not be created, or written to."""
        if (problem := _unwritable(path)) is not None:
            self.problems.append(problem)

    def leave_out(self, handler: Any, why: str) -> None:
        """Add a handler that is not rehearsed."""
        self.left_out[getattr(handler, "__name__", type(handler).__name__)] = why

    def check_space(self) -> None:
        """Add a problem if the files with a known size do not fit on their disk."""
        needed: Counter[Path] = Counter()
        for path, size in self.files.items():
            needed[_existing(path)] += size or 0
        for folder, size in needed.items():
            free = shutil.disk_usage(folder).free
            if size > free:
                self.problems.append(
                    f"{format_bytes(size)} would be written below {folder}, where "
                    f"{format_bytes(free)} are free"
                )

    def __str__(self) -> str:
        lines = [f"the fit would be {self.outcome}, after {self._counts()}"]
        for title, items in (
            ("problems", self.problems),
            ("warnings", self.remarks),
            ("not rehearsed", [f"{name}: {why}" for name, why in self.left_out.items()]),
            ("learning rate", list(self._rate_lines())),
            ("events", [f"epoch {e.epoch + 1}, step {e.step}: {e.what}" for e in self.events]),
            ("files", [f"{path}{_size_text(size)}" for path, size in self.files.items()]),
            ("receivers", [f"{n}: {', '.join(names)}" for n, names in self.receivers.items()]),
        ):
            if items:
                lines += ["", title, *(f"  {item}" for item in _shortened(items, title))]
        return "\n".join(lines)

    def _counts(self) -> str:
        names = ("begin_epoch", "begin_batch", "after_step", "begin_validate")
        found = [f"{self.transitions[n]} {n}" for n in names if self.transitions[n]]
        return ", ".join([f"{self.transitions.total()} transitions", *found])

    def _rate_lines(self) -> Iterator[str]:
        for name, all_rates in self.rates.items():
            rates = [rate for rate in all_rates if math.isfinite(rate)] or [0.0]
            prefix = f"{name}: " if name else ""
            yield f"{prefix}{_curve(rates)}"
            yield f"{prefix}{rates[0]:.3g} first, {max(rates):.3g} highest, {rates[-1]:.3g} last"


def _curve(rates: Sequence[float]) -> str:
    """The rates as a line of at most `_WIDTH` characters, each the mean of its updates."""
    width = min(_WIDTH, len(rates))
    parts = [rates[i * len(rates) // width : (i + 1) * len(rates) // width] for i in range(width)]
    means = [sum(part) / len(part) for part in parts]
    highest = max(means) or 1.0
    return "".join(_LEVELS[round(mean / highest * (len(_LEVELS) - 1))] for mean in means)


def _shortened(items: Sequence[str], title: str) -> Sequence[str]:
    """All of them where each one counts, else the first and the last."""
    if title not in ("events", "files") or len(items) <= 2 * _SHOWN:
        return items
    left_out = len(items) - 2 * _SHOWN
    return [*items[:_SHOWN], f"… {left_out} more …", *items[-_SHOWN:]]


def _size_text(size: int | None) -> str:
    return "" if size is None else f", {format_bytes(size)}"


def _existing(path: Path) -> Path:
    """The path, or the first folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _unwritable(path: Path) -> str | None:
    existing = _existing(path)
    if existing != path and not existing.is_dir():
        return f"cannot write {path}: {existing} is a file"
    if not os.access(existing, os.W_OK):
        return f"cannot write {path}: no permission to write in {existing}"
    return None
