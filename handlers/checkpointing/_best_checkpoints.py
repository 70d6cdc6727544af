"""Select the best checkpoints, by a metric of the epoch that each was saved after."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ...events.utils.argument_checks import check_whole_number

Mode = Literal["min", "max"]


class BestCheckpoints:
    """Ranks checkpoints by a metric; of equal values the older one is better.

    Args:
        metric: its name; None: no checkpoint is a best one.
        mode: whether "min" or "max" is better.
        keep_best: how many to select.
    """

    def __init__(self, metric: str | None, mode: Mode, keep_best: int) -> None:
        self.metric, self.mode, self.keep_best = metric, mode, keep_best

    def select(self, written: Mapping[Path, Mapping[str, Any]]) -> list[Path]:
        """The best checkpoints, the best first.

        Args:
            written: the facts in the manifest of each checkpoint, by path.
        """
        scores = [(self._score(facts.get("metrics", {})), path) for path, facts in written.items()]
        scored = [(score, path) for score, path in scores if score is not None]
        ranked = sorted(scored, key=lambda pair: pair[0])
        return [path for _, path in ranked[: self.keep_best]]

    def improves(
        self, metrics: Mapping[str, Any], written: Mapping[Path, Mapping[str, Any]]
    ) -> bool:
        """Whether an epoch with these metrics is among the best, compared to those written.

        Cost: a sync if the metric is a tensor.
        """
        judged = {name: value for name, value in metrics.items() if name == self.metric}
        score = self._score(finite_metrics(judged))
        if score is None:
            return False
        best = self.select(written)
        if len(best) < self.keep_best:
            return True
        worst = self._score(written[best[-1]]["metrics"])
        return worst is not None and score < worst

    def _score(self, metrics: Mapping[str, Any]) -> float | None:
        """Lower is better; None if the metric was not computed."""
        value = metrics.get(self.metric or "")
        if value is None:
            return None
        return float(value) if self.mode == "min" else -float(value)


def finite_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are finite numbers, as floats. Cost: a sync for each tensor."""
    numbers = {}
    for name, value in metrics.items():
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):  # for example a confusion matrix
            continue
        if math.isfinite(number):
            numbers[name] = number
    return numbers


def check_options(
    keep_last: int | None, keep_best: int, mode: str, metric: str | None, restore_best: bool
) -> None:
    """Check the options of `Checkpoint` that say what is kept.

    Raises:
        TypeError, ValueError: says what is allowed.
    """
    if keep_last is not None:
        check_whole_number(f"Checkpoint(keep_last={keep_last!r})", keep_last, least=1)
    check_whole_number(f"Checkpoint(keep_best={keep_best!r})", keep_best, least=1)
    if restore_best and metric is None:
        raise ValueError("Checkpoint(restore_best=True): needs a metric=, which says the best")
    if mode not in ("min", "max"):
        raise ValueError(f"Checkpoint(mode={mode!r}): allowed: 'min', 'max'")
