"""What came out of a run: the last and the best value of each metric, and its facts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ...events.utils.flat_names import flat_names
from .recording import Recording
from .records import Scalar

Better = Literal["lower", "higher"]

_LOWER = re.compile(r"loss|err|mse|mae|perplexity|ppl|nll|cer|wer|fid|divergence", re.IGNORECASE)
_HIGHER = re.compile(
    r"acc|auc|f1|f_?beta|precision|recall|score|bleu|rouge|iou|dice|kappa|psnr|ssim|reward|return"
    r"|r2|top_?\d",
    re.IGNORECASE,
)


class MetricResult(NamedTuple):
    """The result of one metric; of a metric with several values an epoch, of their means."""

    last: float
    """NaN or infinite if the metric ends so."""
    best: float | None
    """Of those that are finite; None if there are none, or if the name does not tell which is
    better, such as `lr`."""
    best_epoch: int | None
    """Counted from 0."""
    better: Better | None


class RunResults(NamedTuple):
    """The results of a run."""

    metrics: dict[str, MetricResult]
    facts: dict[str, Any]
    """By joined names: `arguments.lr`, `git.commit`."""


def run_results(recording: Recording) -> RunResults:
    """Read the results of a recorded run. Cost: reads its metrics, not its records."""
    by_name: dict[str, list[Scalar]] = {}
    for point in recording.metrics():
        by_name.setdefault(point.name, []).append(point)
    metrics = {name: metric_result(name, points) for name, points in by_name.items()}
    return RunResults(metrics, flat_names(recording.table.facts))


def better_values(name: str) -> Better | None:
    """Whether lower or higher values of a metric are better, by its name; None: it does not say."""
    is_lower, is_higher = _LOWER.search(name), _HIGHER.search(name)
    if bool(is_lower) == bool(is_higher):
        return None
    return "lower" if is_lower else "higher"


def metric_result(name: str, points: Sequence[Scalar]) -> MetricResult:
    """The result of the metric's points, in order; there is at least one."""
    better = better_values(name)
    if better is None:
        return MetricResult(points[-1].value, None, None, None)
    means = _means(points)
    last = [*means.values()][-1]
    finite = [epoch for epoch, mean in means.items() if math.isfinite(mean)]
    if not finite:
        return MetricResult(last, None, None, None)
    best_epoch = (min if better == "lower" else max)(finite, key=lambda epoch: means[epoch])
    return MetricResult(last, means[best_epoch], best_epoch, better)


def _means(points: Iterable[Scalar]) -> Mapping[int, float]:
    values: dict[int, list[float]] = {}
    for point in points:
        values.setdefault(point.epoch, []).append(point.value)
    return {epoch: sum(some) / len(some) for epoch, some in values.items()}
