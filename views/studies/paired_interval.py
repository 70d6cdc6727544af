"""Statistics of a few values: mean, standard deviation, confidence interval of differences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from ..output.usage_error import UsageError

LEVEL = 0.95
METHOD = "Student's t (scipy.stats.t), of the differences paired by seed"


class Interval(NamedTuple):
    """A mean, and the bounds of its confidence interval; None: one value has no interval."""

    mean: float
    low: float | None = None
    high: float | None = None


def require_scipy() -> None:
    """Raise a UsageError if scipy is not installed, before anything is trained."""
    try:
        import scipy.stats  # noqa: F401
    except ModuleNotFoundError:
        raise UsageError("a study needs scipy: pip install 'trackside[study]'") from None


def spread(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample; None of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def confidence_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The interval in which the mean of a population is at this level, from a sample of it.

    Source: Student, "The Probable Error of a Mean", 1908
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean)
    from scipy import stats

    quantile = float(stats.t.ppf((1 + level) / 2, len(values) - 1))
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)
