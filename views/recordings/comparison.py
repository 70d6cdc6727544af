"""Compare the totals of two recorded runs, by phase, by transition and by receiver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..output.text_columns import align_columns
from ..output.units import format_change, format_duration
from .totals import Total, Totals


@dataclass(frozen=True)
class Difference:
    """The totals of one phase, transition or receiver in both runs; a count may be 0."""

    name: str
    before: Total
    after: Total

    @property
    def ns(self) -> int:
        """The additional time in the second run; negative: it took less."""
        return self.after.ns - self.before.ns


@dataclass(frozen=True)
class Comparison:
    """The differences between two runs; the largest difference in time comes first."""

    phases: list[Difference]
    """By phase: how often it was entered, and the time spent there."""
    rows: list[Difference]
    """By trigger and destination; the time is the time spent in the source."""
    receivers: list[Difference]
    """By receiver and signal; empty if both recorders had `timing` off."""

    def __str__(self) -> str:
        parts = (
            ("phase", self.phases),
            ("transition", self.rows),
            ("handler", self.receivers),
        )
        return "\n\n".join(_table(head, part) for head, part in parts if part)


def compare(before: Totals, after: Totals) -> Comparison:
    """Compare the totals of two runs."""
    return Comparison(
        phases=_differences(_phases(before), _phases(after)),
        rows=_differences(_rows(before), _rows(after)),
        receivers=_differences(_receivers(before), _receivers(after)),
    )


def _differences(before: Mapping[str, Total], after: Mapping[str, Total]) -> list[Difference]:
    differences = [
        Difference(name, before.get(name, Total()), after.get(name, Total()))
        for name in {**before, **after}
    ]
    return sorted(differences, key=lambda difference: -abs(difference.ns))


def _phases(totals: Totals) -> dict[str, Total]:
    """Without the resting phases: the time between two runs belongs to neither."""
    return {phase: total for phase, total in totals.phases.items() if "." in phase}


def _rows(totals: Totals) -> dict[str, Total]:
    rows: dict[str, Total] = {}
    for entry, total in totals.transitions.items():
        row = f"{entry.trigger} → {entry.destination}"
        counted = total if "." in entry.source else Total(total.count)
        rows[row] = rows.get(row, Total()).plus(counted)
    return rows


def _receivers(totals: Totals) -> dict[str, Total]:
    return {str(entry): total for entry, total in totals.receivers.items()}


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
        format_change(a.mean, b.mean),
        format_duration(a.seconds),
        format_duration(b.seconds),
        format_duration((b.ns - a.ns) / 1e9),
    )
