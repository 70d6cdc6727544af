"""Render the ranks of a run side by side for the terminal, with Rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..output.units import format_duration
from ..recordings.rank_comparison import RankComparison, compare_ranks
from ..recordings.recording import Recording
from ..recordings.totals import Total

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_MOST_RANKS = 8
_MOST_PHASES = 8


class RankTable:
    """Renders the recordings of one run, one of each rank, repeatedly."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._recordings = recordings

    def render(self) -> RenderableType:
        """The picture: what to know first, then the mean times of each rank by phase."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        compared = compare_ranks(self._recordings)
        meta = self._recordings[0].meta
        lines = [Text(sentence, style="bold") for sentence in compared.sentences]
        if len(compared.ranks) < meta.world:
            found = f"recordings of {len(compared.ranks)} of {meta.world} ranks"
            lines.append(Text(found, style="dim"))
        title = Text(f"{meta.name} · {meta.world} ranks")
        return Panel(Group(*lines, _table(compared)), title=title, title_align="left")


def _table(compared: RankComparison) -> Table:
    """A column for each rank: where it is, its mean time in each phase, and its waiting."""
    from rich.table import Table
    from rich.text import Text

    ranks = compared.first_ranks(_MOST_RANKS)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("mean of each")
    for one in ranks:
        table.add_column(f"rank {one.rank}", justify="right")
    table.add_row("now", *(Text(_short(one.now.phase, one.now.waits)) for one in ranks))
    for phase in compared.busiest_phases(_MOST_PHASES):
        means = [one.phases.get(phase, Total()) for one in ranks]
        table.add_row(Text(_path(phase)), *(format_duration(total.mean) for total in means))
    table.add_row("waited", *(format_duration(one.waited / 1e9) for one in ranks))
    return table


def _path(phase: str) -> str:
    """Without the fit and the epoch, which most phases share."""
    return " › ".join(phase.removesuffix(".run").split(".")[-3:])


def _short(phase: str, waits: bool) -> str:
    name = phase.removesuffix(".run").rpartition(".")[2]
    return f"{name}, waits" if waits else name
