"""The table of a study: what each variation reached, and what differs from the first."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .paired_interval import Interval, confidence_interval, spread
from .study_file import KeptTrial
from .variation import Variation


class Line(NamedTuple):
    """One variation, over its seeds."""

    variation: Variation
    values: Mapping[int, float]
    """The last value of the metric, by seed; without the fits that failed."""
    fits: int
    """How many were made, or will be: one for each seed."""
    mean: float | None
    deviation: float | None
    """Standard deviation over seeds; None of fewer than two."""
    differences: Mapping[int, float]
    """From the first variation with the same seed; empty for the first."""
    difference: Interval | None
    """The mean of them, and its confidence interval."""
    seconds: float | None
    """In the phases of a fit, on average."""
    handler_seconds: float | None
    """In the receivers of the handler that is removed here, in a fit with all: on average."""


def table_lines(
    trials: Mapping[tuple[Variation, int], KeptTrial], metric: str, seeds: Sequence[int]
) -> list[Line]:
    """A line for each variation, in the order of `trials`; the first is the one compared with."""
    variations = [*dict.fromkeys(variation for variation, _ in trials)]
    first = _values(trials, variations[0], metric, seeds)
    base = [trials[variations[0], seed] for seed in seeds]
    return [
        _line(
            variation,
            _values(trials, variation, metric, seeds),
            first if variation is not variations[0] else {},
            [trials[variation, seed] for seed in seeds],
            base,
        )
        for variation in variations
    ]


def _line(
    variation: Variation,
    values: Mapping[int, float],
    first: Mapping[int, float],
    trials: Sequence[KeptTrial],
    base: Sequence[KeptTrial],
) -> Line:
    differences = {seed: v - first[seed] for seed, v in values.items() if seed in first}
    return Line(
        variation,
        values,
        len(trials),
        statistics.fmean(values.values()) if values else None,
        spread([*values.values()]),
        differences,
        confidence_interval([*differences.values()]) if differences else None,
        _mean([t.seconds for t in trials if t.outcome in ("completed", "cancelled")]),
        _handler_seconds(variation, base),
    )


def _values(
    trials: Mapping[tuple[Variation, int], KeptTrial],
    variation: Variation,
    metric: str,
    seeds: Sequence[int],
) -> dict[int, float]:
    found = {seed: trials[variation, seed].value(metric) for seed in seeds}
    return {seed: value for seed, value in found.items() if value is not None}


def _handler_seconds(variation: Variation, base: Sequence[KeptTrial]) -> float | None:
    """The recorder tells the handlers of one class not apart: `EMA-2` has the time of both."""
    if len(variation.without) != 1:
        return None
    name = variation.without[0].rpartition("-")[0] or variation.without[0]
    done = [trial for trial in base if trial.outcome not in (None, "failed")]
    return _mean([trial.costs.get(name, (0, 0))[1] / 1e9 for trial in done])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
