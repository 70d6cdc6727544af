"""Estimate how long a running fit still takes."""

from __future__ import annotations

from .records import Counters
from .run_health import Status
from .totals import Totals


def time_left(now: Status, current: Totals, round_scope: str) -> float | None:
    """Seconds, by the mean time of an update of this process so far, its validations among it.

    By that of a round if the run does not know how many updates it will make, as one with several
    optimizers. None if the run is not running, knows neither, or has done nothing yet.

    Args:
        round_scope: of the chart, `Meta.round`.
    """
    if now.condition != "running":
        return None
    ahead = _updates(now.counters, current) or _rounds(now.counters, current, round_scope)
    if ahead is None:
        return None
    left, made = ahead
    return max(left, 0) * current.seconds / made


def _updates(counters: Counters, current: Totals) -> tuple[float, float] | None:
    """How many are left, and how many this process has made."""
    made = sum(
        total.count
        for entry, total in current.transitions.items()
        if entry.trigger == "after_step" and not entry.source.endswith(".cancelled")
    )
    if not counters.n_steps or counters.step is None or not made:
        return None
    return counters.n_steps - counters.step, made


def _rounds(counters: Counters, current: Totals, scope: str) -> tuple[float, float] | None:
    """The same for rounds; the current one counts by its batches."""
    if counters.n_steps or not counters.n_epochs or counters.epoch is None:
        return None
    ended = sum(
        total.count
        for entry, total in current.transitions.items()
        if entry.trigger == f"after_{scope}"
    )
    part = counters.batch / counters.n_batches if counters.batch and counters.n_batches else 0.0
    left = counters.n_epochs - max(counters.epoch, 0) - part
    return (left, ended + part) if ended + part else None
