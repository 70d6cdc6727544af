"""Compare the ranks of one run: who is slow, who waits, who stands still."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..output.phase_text import phase_text
from ..output.units import format_duration
from .recording import Recording
from .run_health import Status, status
from .totals import Total, Totals, totals

_RANK = re.compile(r"\.rank\d+(?=(\.[^.]*)?$)")
_LEAST_FACTOR = 1.2
"""A rank whose slowest phase takes less than this times that of the fastest is not called slow."""
_MOST_NAMED = 8


@dataclass(frozen=True)
class RankTimes:
    """One rank of a run: its status, and its times by phase."""

    rank: int
    now: Status
    phases: dict[str, Total]
    """Without the waiting: the time of its own work, and of collectives that are not recorded."""
    waits: dict[str, Total]
    """Votes, and gradients of DDP, for which it has waited for the other ranks, by phase."""

    @property
    def waited(self) -> int:
        """Nanoseconds in all of them."""
        return sum(total.ns for total in self.waits.values())


@dataclass(frozen=True)
class RankComparison:
    """The ranks of one run, by rank."""

    ranks: list[RankTimes]

    @property
    def slowest(self) -> RankTimes | None:
        """The rank for which the others wait: it waits least itself; None if no rank waits."""
        by_waits = sorted(self.ranks, key=lambda one: one.waited)
        return by_waits[0] if by_waits[0].waited < by_waits[-1].waited else None

    @property
    def slowest_phase(self) -> str:
        """Where the slowest rank loses most against the fastest one there; empty if nowhere."""
        slow = self.slowest
        if slow is None:
            return ""
        losses = {phase: total.ns - self.fastest(phase).ns for phase, total in slow.phases.items()}
        phase = max(losses, key=lambda name: losses[name], default="")
        known = phase and slow.phases[phase].ns > _LEAST_FACTOR * self.fastest(phase).ns
        return phase if known else ""

    def fastest(self, phase: str) -> Total:
        """The least time that a rank has spent in a phase."""
        return min((one.phases.get(phase, Total()) for one in self.ranks), key=lambda t: t.ns)

    @property
    def waited_for(self) -> list[RankTimes]:
        """The ranks that do not wait while all others do; those that have ended or died, too."""
        others = [one for one in self.ranks if not one.now.waits]
        return others if len(others) < len(self.ranks) else []

    @property
    def culprits(self) -> list[RankTimes]:
        """The ranks that stand still, or are gone, while the others wait for them."""
        is_held_up = any(one.now.waits and one.now.stuck for one in self.ranks)
        return [
            one
            for one in self.waited_for
            if is_held_up or one.now.stuck or one.now.condition == "died"
        ]

    @property
    def sentences(self) -> list[str]:
        """What a person should know first; empty if no rank keeps the others waiting."""
        return [*map(self._of_culprit, self.culprits), *self._of_slowest()]

    def busiest_phases(self, most: int) -> list[str]:
        """The phases in which the ranks spend most time, in the order of the loop."""
        spent: dict[str, int] = {}
        for one in self.ranks:
            for phase, total in one.phases.items():
                spent[phase] = spent.get(phase, 0) + total.ns
        chosen = sorted(spent, key=lambda phase: -spent[phase])[:most]
        return [phase for phase in spent if phase in chosen]

    def first_ranks(self, most: int) -> list[RankTimes]:
        """At most so many ranks: those that stand still, the slowest one, then the lowest."""
        slow = [self.slowest] if self.slowest else []
        first = {one.rank: one for one in [*self.culprits, *slow, *self.ranks]}
        return sorted([*first.values()][:most], key=lambda one: one.rank)

    def _of_culprit(self, one: RankTimes) -> str:
        does = "has died" if one.now.condition == "died" else "stands still"
        if one.now.condition == "ended":
            does = "has ended"
        where = f" in {one.now.receiver}" if one.now.receiver else ""
        waiting = [other.rank for other in self.ranks if other.now.waits]
        held = f"; {_named(waiting)} for it" if waiting else ""
        return f"rank {one.rank} {does}{where}, in {phase_text(one.now.phase)}{held}"

    def _of_slowest(self) -> list[str]:
        slow, phase = self.slowest, self.slowest_phase
        if slow is None or not phase:
            return []
        fastest = self.fastest(phase)
        most = max(self.ranks, key=lambda one: one.waited)
        return [
            f"rank {slow.rank} is the slowest, in {phase_text(phase)}: "
            f"{format_duration(slow.phases[phase].mean)} each time, "
            f"{format_duration(fastest.mean)} on the fastest rank; rank {most.rank} has waited "
            f"{format_duration(most.waited / 1e9)} for others"
        ]


def compare_ranks(recordings: Sequence[Recording]) -> RankComparison:
    """Compare recordings of one run, one of each rank, as they are now.

    Raises:
        ValueError: there is no recording.
    """
    if not recordings:
        raise ValueError("compare_ranks([]): allowed: the recordings of one run, at least one")
    ranks = [_times(recording) for recording in recordings]
    return RankComparison(sorted(ranks, key=lambda one: one.rank))


def group_ranks(paths: Iterable[Path]) -> list[list[Path]]:
    """The runs among recordings of several ranks: `run.rank0.loop` and `run.rank1.loop` are one."""
    runs: dict[str, list[Path]] = {}
    for path in paths:
        runs.setdefault(_RANK.sub("", str(path.absolute())), []).append(path)
    return [run for run in runs.values() if len(run) > 1]


def _times(recording: Recording) -> RankTimes:
    current = totals(recording)
    waits = _waits(current)
    phases = {
        phase: Total(total.count, max(0, total.ns - waits.get(phase, Total()).ns))
        for phase, total in current.phases.items()
        if "." in phase
    }
    return RankTimes(recording.meta.rank, status(recording), phases, waits)


def _waits(current: Totals) -> dict[str, Total]:
    waits: dict[str, Total] = {}
    for entry, total in current.receivers.items():
        if entry.is_wait:
            other = waits.get(entry.signal, Total())
            waits[entry.signal] = Total(other.count + total.count, other.ns + total.ns)
    return {phase: waits[phase] for phase in current.phases if phase in waits}


def _named(ranks: list[int]) -> str:
    if len(ranks) == 1:
        return f"rank {ranks[0]} waits"
    shown = ", ".join(map(str, ranks[:_MOST_NAMED]))
    return f"ranks {shown}{' …' if len(ranks) > _MOST_NAMED else ''} wait"
