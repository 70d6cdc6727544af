"""Estimate how long a running fit still takes."""

from __future__ import annotations

from .run_health import Status
from .totals import Totals


def time_left(now: Status, current: Totals) -> float | None:
    """Seconds, by the mean time of an update of this process so far, its validations among it.

    None if the run is not running, has made no update yet, or does not know how many it will make.
    """
    planned, step = now.counters.n_steps, now.counters.step
    made = sum(
        total.count
        for entry, total in current.transitions.items()
        if entry.trigger == "after_step" and not entry.source.endswith(".cancelled")
    )
    if now.condition != "running" or not planned or step is None or not made:
        return None
    return max(planned - step, 0) * current.seconds / made
