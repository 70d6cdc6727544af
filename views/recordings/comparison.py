"""Compare two recorded runs: results, facts, then times by phase, transition and receiver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..output.text_columns import align_columns
from ..output.units import format_change, format_duration
from .epoch_times import EpochTimes, Spread, Times, epoch_times, row_name
from .recording import Recording
from .recording_set import merge_totals
from .run_results import MetricResult, RunResults, run_results
from .totals import Total, Totals, totals


@dataclass(frozen=True)
class Difference:
    """The totals of one phase, transition or receiver in both runs; a count may be 0."""

    name: str
    before: Total
    after: Total
    spreads: tuple[Spread | None, Spread | None] = (None, None)
    """Of the mean stays of each epoch; None if too few epochs are in the records."""

    @property
    def is_clear(self) -> bool | None:
        """Whether it is larger than the spread over epochs of both; None: that is not known."""
        before, after = self.spreads
        return None if before is None or after is None else not before.overlaps(after)

    @property
    def change(self) -> str:
        """The change of the mean; `within spread`, or with a `?`, if it may be noise."""
        if self.is_clear is False:
            return "within spread"
        change = format_change(self.before.mean, self.after.mean)
        return f"{change}?" if self.is_clear is None and change.endswith("%") else change

    @property
    def ns(self) -> int:
        """The additional time in the second run; negative: it took less."""
        return self.after.ns - self.before.ns


@dataclass(frozen=True)
class Comparison:
    """The differences between two runs; the largest difference in time comes first."""

    results: tuple[RunResults, RunResults]
    """Of the first recording of each run."""
    round: str
    """The scope of an epoch: what its chart calls one."""
    epochs: tuple[Spread | None, Spread | None]
    """Seconds of an epoch; None if too few are in the records."""
    phases: list[Difference]
    """By phase: how often it was entered, and the time spent there."""
    rows: list[Difference]
    """By trigger and destination; the time is the time spent in the source."""
    receivers: list[Difference]
    """By receiver and signal; empty if both recorders had `timing` off."""

    @property
    def metrics(self) -> dict[str, tuple[MetricResult | None, MetricResult | None]]:
        """The metrics of both, by name."""
        a, b = (one.metrics for one in self.results)
        return {name: (a.get(name), b.get(name)) for name in {**a, **b}}

    @property
    def facts(self) -> dict[str, tuple[Any, Any]]:
        """The facts that differ, by name; None where a run does not have it."""
        a, b = (one.facts for one in self.results)
        pairs = {name: (a.get(name), b.get(name)) for name in {**a, **b}}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def __str__(self) -> str:
        times = (
            ("phase", self.phases),
            ("transition", self.rows),
            ("handler", self.receivers),
        )
        parts = [
            _metrics_table(self.metrics),
            _facts_table(self.facts),
            f"{self.round}  A {_spread_text(self.epochs[0])}  B {_spread_text(self.epochs[1])}",
            *(_table(head, part) for head, part in times if part),
        ]
        return "\n\n".join(part for part in parts if part)


def compare(a: Sequence[Recording], b: Sequence[Recording]) -> Comparison:
    """Compare two runs, each of one or more ranks.

    Cost: reads all records, see `epoch_times`.
    """
    before, after = merge_totals(map(totals, a)), merge_totals(map(totals, b))
    times = epoch_times(a), epoch_times(b)
    return Comparison(
        results=(run_results(a[0]), run_results(b[0])),
        round=a[0].meta.round or "epoch",
        epochs=(Spread.of(times[0].epochs), Spread.of(times[1].epochs)),
        phases=_differences(_phases(before), _phases(after), _spreads(times, "phases")),
        rows=_differences(_rows(before), _rows(after), _spreads(times, "rows")),
        receivers=_differences(_receivers(before), _receivers(after), _spreads(times, "receivers")),
    )


def _spreads(times: tuple[EpochTimes, EpochTimes], part: str) -> tuple[Times, Times]:
    a, b = (getattr(one, part) for one in times)
    return a, b


def _differences(
    before: Mapping[str, Total], after: Mapping[str, Total], times: tuple[Times, Times]
) -> list[Difference]:
    a, b = times
    differences = [
        Difference(
            name,
            before.get(name, Total()),
            after.get(name, Total()),
            (Spread.of(a.get(name, ())), Spread.of(b.get(name, ()))),
        )
        for name in {**before, **after}
    ]
    return sorted(differences, key=lambda difference: -abs(difference.ns))


def _phases(totals: Totals) -> dict[str, Total]:
    """Without the resting phases: the time between two runs belongs to neither."""
    return {phase: total for phase, total in totals.phases.items() if "." in phase}


def _rows(totals: Totals) -> dict[str, Total]:
    rows: dict[str, Total] = {}
    for entry, total in totals.transitions.items():
        row = row_name(entry)
        counted = total if "." in entry.source else Total(total.count)
        rows[row] = rows.get(row, Total()).plus(counted)
    return rows


def _receivers(totals: Totals) -> dict[str, Total]:
    return {str(entry): total for entry, total in totals.receivers.items()}


def _metrics_table(
    metrics: Mapping[str, tuple[MetricResult | None, MetricResult | None]],
) -> str:
    lines = [(name, *_metric_cells(a), *_metric_cells(b)) for name, (a, b) in metrics.items()]
    heads = ("metric", "last A", "best A", "last B", "best B")
    return align_columns([heads, *lines], left=1) if lines else ""


def _metric_cells(result: MetricResult | None) -> tuple[str, str]:
    if result is None:
        return "-", ""
    return f"{result.last:.4g}", "" if result.best is None else f"{result.best:.4g}"


def _facts_table(facts: Mapping[str, tuple[Any, Any]]) -> str:
    """A line for each fact; of one that is too long a line for each run."""
    lines = [("fact that differs", "A", "B")]
    long = []
    for name, (a, b) in facts.items():
        texts = _fact_text(a), _fact_text(b)
        if max(map(len, texts)) > _LONGEST_FACT:
            long += [f"{name}", f"  A  {texts[0]}", f"  B  {texts[1]}"]
        else:
            lines.append((name, *texts))
    return "\n".join([align_columns(lines, left=3), *long]) if facts else ""


def _fact_text(value: Any) -> str:
    return "-" if value is None else str(value)


def _spread_text(spread: Spread | None) -> str:
    """`20.1 ms (19.8 ms to 22.0 ms, 30 epochs)`."""
    if spread is None:
        return "too few in the records"
    low, median, high = map(format_duration, spread[1:])
    return f"{median} ({low} to {high}, {spread.epochs} epochs)"


_LONGEST_FACT = 32
_COLUMNS = ("count A", "count B", "mean A", "mean B", "", "total A", "total B", "B - A")


def _table(head: str, differences: Sequence[Difference]) -> str:
    return align_columns([(head, *_COLUMNS), *map(_line, differences)], left=1)


def _line(difference: Difference) -> tuple[str, ...]:
    a, b = difference.before, difference.after
    return (
        difference.name,
        str(a.count),
        str(b.count),
        format_duration(a.mean),
        format_duration(b.mean),
        difference.change,
        format_duration(a.seconds),
        format_duration(b.seconds),
        format_duration((b.ns - a.ns) / 1e9),
    )
