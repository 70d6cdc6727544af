"""The progress of a fit: how much of it is done, in which unit, and how much is planned."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from .utils.loader_length import loader_length
from .utils.similar_names import did_you_mean

Unit = Literal["epochs", "batches", "steps", "samples", "tokens", "seconds"]
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of a fit is done.

    Attributes:
        done: from 0; epochs and seconds may have a fraction.
        total: the planned number; None while it is unknown.
        unit: what is counted.
    """

    done: float
    total: float | None
    unit: Unit

    @property
    def fraction(self) -> float | None:
        """The share that is done, from 0 to 1; None while the total is unknown."""
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total > 0 else 1.0

    @property
    def left(self) -> float | None:
        """What remains, from 0; None while the total is unknown."""
        return None if self.total is None else max(self.total - self.done, 0)


class Counters(Protocol):
    """The fields of a TrainState from which progress is computed."""

    phase: str
    unit_scope: str | None
    round_scope: str | None
    epoch: int
    n_epochs: int
    batch_index: int
    n_batches: int | None
    training: bool
    paused: tuple[Any, int, int | None, Any] | None
    step: int
    samples: int
    tokens: int
    elapsed: Callable[[], float] | None
    train_loader: Any
    batches_per_epoch: int | None
    batches_found: tuple[int | None, int] | None
    batches_per_step: int
    batches_per_step_of: dict[str, int]
    optimizers: dict[str, Any]
    limits: dict[Unit, float]


def told_batches(state: Counters) -> int | None:
    """Training batches in an epoch, by the loader's length and the limit; None if unknown."""
    lengths = (state.batches_per_epoch, loader_length(state.train_loader))
    return min((length for length in lengths if length is not None), default=None)


def planned_batches(state: Counters) -> int | None:
    """Training batches in an epoch: the number that the last whole pass had, or the one told."""
    told, found = told_batches(state), state.batches_found
    return found[1] if found is not None and found[0] == told else told


def progress_of(state: Counters, unit: Unit | None = None) -> Progress:
    """The progress of a fit in a unit; without one, that of the limit nearest to its end.

    Raises:
        ValueError: there is no such unit.
    """
    if unit is None:
        nearest = max(_ends(state), key=lambda end: -1.0 if end.fraction is None else end.fraction)
        return nearest if nearest.total is not None else progress_of(state, "epochs")
    if unit not in _IN_UNIT:
        raise ValueError(
            f"progress({unit!r}){did_you_mean(str(unit), UNITS)}; allowed: {', '.join(UNITS)}"
        )
    return _IN_UNIT[unit](state)


def planned_steps(state: Counters, of: str | None = None) -> Progress:
    """The steps of an optimizer that are planned over all epochs, as if nothing were cancelled.

    Those of a cancelled batch or a skipped epoch count as done; limits do not count.

    Args:
        of: name of the optimizer, of a trainer with several; None: the only one.
    """
    place, per_step = _place(state), batches_per_step(state, of)
    if place.per_epoch is None:
        return Progress(place.in_epoch // per_step, None, "steps")
    per_epoch = math.ceil(place.per_epoch / per_step)
    done = place.epoch * per_epoch + place.steps_in_epoch(per_step)
    return Progress(done, rounds(state) * per_epoch, "steps")


def limit_progress(state: Counters) -> Iterator[Progress]:
    """The progress of each limit of the fit, in its unit."""
    for unit, total in state.limits.items():
        yield Progress(_counted(state, unit), total, unit)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a fit stands: whole epochs, and batches that are done in the current one."""

    epoch: int
    in_epoch: int
    per_epoch: int | None

    def steps_in_epoch(self, per_step: int) -> int:
        """Steps done in the current epoch, whose last window may be incomplete."""
        is_whole = self.per_epoch is not None and self.in_epoch >= self.per_epoch
        return math.ceil(self.in_epoch / per_step) if is_whole else self.in_epoch // per_step


def _place(state: Counters) -> _Place:
    *scopes, leaf = state.phase.split(".")
    per_epoch = planned_batches(state)
    paused = state.paused
    if per_epoch is None and (state.training or paused is not None):
        per_epoch = state.n_batches if paused is None else paused[2]
    if state.round_scope is None:
        epoch = 0
    elif state.round_scope not in scopes:
        return _Place(state.epoch + 1, 0, per_epoch)
    elif leaf == "ready" and scopes[-1] == state.round_scope:
        return _Place(state.epoch, 0, per_epoch)
    else:
        epoch = state.epoch
    if not state.training and paused is None:
        return _Place(epoch + 1, 0, per_epoch)
    is_live = state.training and state.unit_scope in scopes
    in_epoch = (state.batch_index if state.training or paused is None else paused[1]) + 1 - is_live
    if per_epoch is not None:  # a loader may be longer than it told
        in_epoch = min(in_epoch, max(per_epoch - is_live, 0))
    return _Place(epoch, max(in_epoch, 0), per_epoch)


def rounds(state: Counters) -> int:
    """Epochs of the fit; 1 in a chart without a scope of an epoch."""
    return 1 if state.round_scope is None else state.n_epochs


def is_last_round(state: Counters) -> bool:
    """Whether the current epoch is the last one that is planned."""
    return state.epoch + 1 >= rounds(state)


def is_last_batch(state: Counters) -> bool:
    """Whether the current batch is the last of its pass; False while that is unknown."""
    return state.batch_index + 1 == state.n_batches


def batches_in_pass(state: Counters) -> int | None:
    """Batches of the current training pass, fewer if a limit of steps ends the fit in it."""
    planned = _batches(state)
    counts = [state.n_batches]
    if planned.left is not None:
        is_live = state.unit_scope in state.phase.split(".")
        counts.append(state.batch_index + 1 - is_live + int(planned.left))
    return min((count for count in counts if count is not None), default=None)


def batches_per_step(state: Counters, of: str | None = None) -> int:
    """Training batches in a step of the optimizer `of`."""
    return state.batches_per_step_of.get(of or "", state.batches_per_step)


def _ends(state: Counters) -> Iterator[Progress]:
    """All that can end the fit: its epochs, and each limit."""
    place = _place(state)
    yield Progress(_batches_done(place), _batches_in_epochs(state, place), "batches")
    yield from limit_progress(state)


def _batches_done(place: _Place) -> int:
    return place.epoch * (place.per_epoch or 0) + place.in_epoch


def _batches_in_epochs(state: Counters, place: _Place) -> int | None:
    return None if place.per_epoch is None else rounds(state) * place.per_epoch


def _batches(state: Counters) -> Progress:
    place = _place(state)
    total = _batches_in_epochs(state, place)
    limit = state.limits.get("steps")
    if limit is not None and len(state.optimizers) < 2:
        until = _batches_until(state, place, place.per_epoch, limit)
        total = until if total is None else min(total, until)
    return Progress(_batches_done(place), total, "batches")


def _batches_until(state: Counters, place: _Place, per_epoch: int | None, limit: float) -> int:
    """The number of the batch with the last step, if no other step is cancelled."""
    per_step = batches_per_step(state)
    left = max(math.ceil(limit) - state.step, 0)
    if not left:
        return _batches_done(place)
    if not per_epoch:  # an endless pass
        return (place.in_epoch // per_step + left) * per_step
    steps = math.ceil(per_epoch / per_step)
    epochs, more = divmod(place.epoch * steps + place.steps_in_epoch(per_step) + left, steps)
    return epochs * per_epoch + more * per_step


def _epochs(state: Counters) -> Progress:
    place, batches = _place(state), _batches(state)
    total = rounds(state)
    if batches.total is not None and place.per_epoch:
        total = min(total, math.ceil(batches.total / place.per_epoch))
    return Progress(place.epoch + place.in_epoch / (place.per_epoch or math.inf), total, "epochs")


def _steps(state: Counters) -> Progress:
    """The updates made; the total is what remains of the plan, so a cancelled one is not in it."""
    remaining = None if len(state.optimizers) > 1 else planned_steps(state).left
    totals = (None if remaining is None else state.step + remaining, state.limits.get("steps"))
    total = min((total for total in totals if total is not None), default=None)
    return Progress(state.step, total, "steps")


def _limited(unit: Unit) -> Callable[[Counters], Progress]:
    return lambda state: Progress(_counted(state, unit), state.limits.get(unit), unit)


def _counted(state: Counters, unit: Unit) -> float:
    match unit:
        case "steps":
            return state.step
        case "samples":
            return state.samples
        case "tokens":
            return state.tokens
        case "seconds":
            return 0.0 if state.elapsed is None else state.elapsed()
        case _:
            return _IN_UNIT[unit](state).done


_IN_UNIT: Mapping[str, Callable[[Counters], Progress]] = {
    "epochs": _epochs,
    "batches": _batches,
    "steps": _steps,
    "samples": _limited("samples"),
    "tokens": _limited("tokens"),
    "seconds": _limited("seconds"),
}
