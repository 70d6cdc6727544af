"""The ranks of runs, as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .rank_comparison import RankComparison, RankTimes, compare_ranks, group_ranks
from .recording_set import open_recordings
from .records import RecordingError
from .totals import Total

_MOST_RANKS = 16
_MOST_PHASES = 10


def add_ranks(entries: Mapping[Path, dict[str, Any]]) -> None:
    """Add to the entries of several ranks the number of their run, and to the first its ranks.

    Args:
        entries: of recordings of several ranks, by the path.
    """
    for number, paths in enumerate(group_ranks(entries)):
        for path in paths:
            entries[path]["run"] = number
        with suppress(RecordingError), open_recordings(*paths) as recordings:
            entries[paths[0]]["ranks"] = _summary(compare_ranks(recordings))


def _summary(compared: RankComparison) -> dict[str, Any]:
    return {
        "sentences": compared.sentences,
        "ranks": [_rank(one) for one in compared.first_ranks(_MOST_RANKS)],
        "phases": [_phase(compared, phase) for phase in compared.busiest_phases(_MOST_PHASES)],
    }


def _rank(one: RankTimes) -> dict[str, Any]:
    return {
        "rank": one.rank,
        "status": "stuck" if one.now.stuck else one.now.condition,
        "phase": one.now.phase,
        "receiver": one.now.receiver,
        "waits": one.now.waits,
        "waited": one.waited,
    }


def _phase(compared: RankComparison, phase: str) -> dict[str, Any]:
    """Nanoseconds of a mean stay on the fastest and on the slowest rank, without votes."""
    means = {one.rank: one.phases.get(phase, Total()).mean * 1e9 for one in compared.ranks}
    slowest = max(means, key=lambda rank: means[rank])
    return {
        "phase": phase,
        "fastest": min(means.values()),
        "slowest": means[slowest],
        "rank": slowest,
    }
