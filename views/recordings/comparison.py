"""How two recorded runs differ: by phase, by transition and by receiver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..output.text_columns import columns
from ..output.units import change, duration
from .totals import Total, Totals


@dataclass(frozen=True)
class Difference:
    """One thing in both runs; in one of them it may have never happened."""

    name: str
    before: Total
    after: Total

    @property
    def ns(self) -> int:
        """How much more time it took in the second."""
        return self.after.ns - self.before.ns


@dataclass(frozen=True)
class Comparison:
    """What two runs did, that with the largest difference in time first."""

    phases: list[Difference]
    """How often a phase was entered, and the time spent there."""
    rows: list[Difference]
    """By trigger and destination; the time is that spent in the source before."""
    receivers: list[Difference]
    """By receiver and signal; empty where the recorders timed none."""

    def __str__(self) -> str:
        parts = (
            ("phase", self.phases),
            ("transition", self.rows),
            ("handler", self.receivers),
        )
        return "\n\n".join(_table(head, part) for head, part in parts if part)


def compare(before: Totals, after: Totals) -> Comparison:
    """Put the totals of two runs beside each other."""
    return Comparison(
        phases=_differences(_phases(before), _phases(after)),
        rows=_differences(_rows(before), _rows(after)),
        receivers=_differences(_receivers(before), _receivers(after)),
    )


def _differences(before: Mapping[str, Total], after: Mapping[str, Total]) -> list[Difference]:
    found = [
        Difference(name, before.get(name, Total()), after.get(name, Total()))
        for name in {**before, **after}
    ]
    return sorted(found, key=lambda difference: -abs(difference.ns))


def _phases(totals: Totals) -> dict[str, Total]:
    """Those of runs: what passes between two runs says nothing of either."""
    return {phase: total for phase, total in totals.phases.items() if "." in phase}


def _rows(totals: Totals) -> dict[str, Total]:
    found: dict[str, Total] = {}
    for entry, total in totals.transitions.items():
        row = f"{entry.trigger} → {entry.destination}"
        counted = total if "." in entry.source else Total(total.count)
        found[row] = found.get(row, Total()).plus(counted)
    return found


def _receivers(totals: Totals) -> dict[str, Total]:
    return {str(entry): total for entry, total in totals.receivers.items()}


_HEAD = ("count A", "count B", "mean A", "mean B", "", "total A", "total B", "B - A")


def _table(head: str, differences: Sequence[Difference]) -> str:
    return columns([(head, *_HEAD), *map(_line, differences)], left=1)


def _line(difference: Difference) -> tuple[str, ...]:
    a, b = difference.before, difference.after
    return (
        difference.name,
        str(a.count),
        str(b.count),
        duration(a.mean),
        duration(b.mean),
        change(a.mean, b.mean),
        duration(a.seconds),
        duration(b.seconds),
        duration((b.ns - a.ns) / 1e9),
    )
