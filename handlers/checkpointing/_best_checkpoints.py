"""Which of several checkpoints are the best, by a metric of the epochs at whose ends they stand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

Mode = Literal["min", "max"]


class Best:
    """Compares by a metric; of equal ones the older is better.

    Args:
        metric: its name; None: nothing is compared, nothing is best.
        mode: whether "min" or "max" is better.
        count: how many are the best.
    """

    def __init__(self, metric: str | None, mode: Mode, count: int) -> None:
        self.metric, self.mode, self.count = metric, mode, count

    def among(self, written: Mapping[Path, Mapping[str, Any]]) -> list[Path]:
        """The best of some checkpoints, given by what their manifests say; the best first."""
        scores = [(self._score(facts.get("metrics", {})), path) for path, facts in written.items()]
        scored = [(score, path) for score, path in scores if score is not None]
        ranked = sorted(scored, key=lambda pair: pair[0])
        return [path for _, path in ranked[: self.count]]

    def improves(
        self, metrics: Mapping[str, Any], written: Mapping[Path, Mapping[str, Any]]
    ) -> bool:
        """Whether an epoch with these metrics is one of the best, beside those that are written.

        Cost: a sync if the metric is a tensor.
        """
        own = {name: value for name, value in metrics.items() if name == self.metric}
        score = self._score(finite(own))
        if score is None:
            return False
        best = self.among(written)
        if len(best) < self.count:
            return True
        worst = self._score(written[best[-1]]["metrics"])
        return worst is not None and score < worst

    def _score(self, metrics: Mapping[str, Any]) -> float | None:
        """Less is better; None where the metric was not computed."""
        value = metrics.get(self.metric or "")
        if value is None:
            return None
        return float(value) if self.mode == "min" else -float(value)


def finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are numbers, as floats. Cost: a sync for each that is a tensor."""
    numbers = {}
    for name, value in metrics.items():
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):  # a confusion matrix, say
            continue
        if math.isfinite(number):
            numbers[name] = number
    return numbers
