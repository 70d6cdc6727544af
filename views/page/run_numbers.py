"""The results of a run and the times of its epochs, as the pages show them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..recordings.epoch_times import EpochTimes, Spread, epoch_times
from ..recordings.recording import Recording
from ..recordings.run_results import RunResults


def results_of(results: RunResults) -> dict[str, Any]:
    """`metrics`: last, best, its epoch, what is better, by name; `facts`: texts, by name.

    A last value that is not finite is a text, for JSON has no NaN.
    """
    return {
        "metrics": {
            name: [_json_number(last), *others] for name, (last, *others) in results.metrics.items()
        },
        "facts": {name: str(value) for name, value in results.facts.items()},
    }


def _json_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"


def times_of(times: EpochTimes) -> dict[str, Any]:
    """`epochs`: the spread of an epoch; `phases`: that of a mean stay, by phase."""
    return {
        "epochs": spread_of(Spread.of(times.epochs)),
        "phases": {phase: spread_of(Spread.of(some)) for phase, some in times.phases.items()},
    }


def spread_of(spread: Spread | None) -> list[float] | None:
    """The number of epochs, then nanoseconds: the lower quartile, the median, the upper one."""
    return None if spread is None else [spread.epochs, *(1e9 * part for part in spread[1:])]


def run_details(path: Path) -> dict[str, Any]:
    """The curves of the recording at `path`, and its times; see `metric_points` and `times_of`.

    Raises:
        RecordingError: it cannot be read as a recording.
    """
    with Recording(path) as recording:
        return {"curves": metric_points(recording), **times_of(epoch_times([recording]))}


def metric_points(recording: Recording) -> dict[str, list[list[float | None]]]:
    """By name: nanoseconds, epoch, step and value of each point; JSON has no NaN."""
    start, by_name = recording.meta.monotonic_ns, dict[str, list[list[float | None]]]()
    for one in recording.metrics():
        value = one.value if math.isfinite(one.value) else None
        point = [one.time_ns - start, one.epoch, one.step, value]
        by_name.setdefault(one.name, []).append(point)
    return by_name
