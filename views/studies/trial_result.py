"""One fit of a study, and what came of it, as plain data."""

from __future__ import annotations

from typing import Any, NamedTuple, TypedDict

Row = dict[str, Any]


class Trial(NamedTuple):
    """One fit: a variation with a seed."""

    without: tuple[str, ...]
    arguments: tuple[tuple[str, Any], ...]
    seed: int


class Result(TypedDict, total=False):
    """What came of a fit; of one that failed, what there was until then."""

    outcome: str
    """completed, cancelled or failed."""
    reason: str
    """Of a cancel: its reason and who raised it; of an error: its last line."""
    error: str
    """The traceback; empty without an error."""
    is_missing_metric: bool
    """Whether it failed since nobody reported the metric."""
    rows: list[Row]
    """Those of a History."""
    seconds: float
    """In the phases of the fit."""
    costs: dict[str, tuple[int, int]]
    """By handler class: calls, and nanoseconds in them."""
    facts: dict[str, Any]
