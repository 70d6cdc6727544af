"""What a study has found, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .study_file import KeptTrial
from .study_table import Line, table_lines
from .variation import Variation


class Failure(NamedTuple):
    """A fit without a value for the table."""

    label: str
    seed: int
    reason: str
    """The last line of its error; or what the metric was."""
    error: str
    """The traceback; empty without an error."""


class StudyResult:
    """What each variation of a factory reached, over seeds.

    Attributes:
        factory: its target.
        metric: that is compared: its last value in each fit.
        seeds: of the fits; differences are paired by them.
        trials: all fits by variation and seed.
        lines: of the table: a variation each; the first is the one compared with.
        notes: what was left out, and why.
    """

    def __init__(
        self,
        factory: str,
        metric: str,
        seeds: Sequence[int],
        trials: Mapping[tuple[Variation, int], KeptTrial],
        notes: Sequence[str] = (),
    ) -> None:
        self.factory = factory
        self.metric = metric
        self.seeds = tuple(seeds)
        self.trials = dict(trials)
        self.lines: list[Line] = table_lines(self.trials, metric, seeds)
        self.notes = [*notes, *_differing_facts(self.trials.values())]

    @property
    def failures(self) -> list[Failure]:
        """The fits that have no value for the table, and why."""
        return [
            Failure(variation.label, seed, _why_missing(trial, self.metric), trial.error)
            for (variation, seed), trial in self.trials.items()
            if trial.value(self.metric) is None
        ]


def _why_missing(trial: KeptTrial, metric: str) -> str:
    if trial.outcome is None:
        return "not made yet"
    if trial.outcome == "failed":
        return trial.reason
    found = [row[metric] for row in trial.rows if metric in row]
    return f"{metric} is {found[-1]}" if found else f"no {metric!r} was reported"


def _differing_facts(trials: Iterable[KeptTrial]) -> list[str]:
    """Notes on fits that were made by different programs: their differences may come from that."""
    found: dict[str, set[str]] = {}
    for trial in trials:
        facts = trial.facts
        known = {**facts.get("versions", {}), "commit": (facts.get("git") or {}).get("commit")}
        for name, value in known.items():
            if value is not None:
                found.setdefault(name, set()).add(str(value))
    return [
        f"the fits were made with more than one {name}: {', '.join(sorted(values))}"
        for name, values in found.items()
        if len(values) > 1
    ]
