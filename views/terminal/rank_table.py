"""Render the ranks of a run side by side for the terminal, with Rich."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..output.phase_text import phase_text
from ..output.units import format_duration
from ..recordings.rank_comparison import RankComparison, compare_ranks
from ..recordings.recording import Recording
from ..recordings.run_health import Status, status
from ..recordings.totals import Total

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_MOST_RANKS = 8
_MOST_PHASES = 8
_PARTS = 3
"""Of a phase: without the fit and the epoch, which most share."""
_BESIDE_RANKS, _RANK_WIDTH = 30, 12
"""Columns of the frame and of the names, and of each rank."""


class RankTable:
    """Renders the recordings of one run, one of each rank, repeatedly."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._recordings = recordings

    @property
    def title(self) -> str:
        """The name of the run, and how many ranks it has."""
        meta = self._recordings[0].meta
        return f"{meta.name} · {meta.world} ranks"

    def status(self) -> Status:
        """Where the first rank is that still runs; if none does, where the first one was last."""
        found = [*map(status, self._recordings)]
        return next((now for now in found if now.condition == "running"), found[0])

    def render(self, width: int) -> RenderableType:
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
        most = max(min((width - _BESIDE_RANKS) // _RANK_WIDTH, _MOST_RANKS), 1)
        if len(compared.ranks) > most:
            lines.append(Text(f"{most} of {len(compared.ranks)} ranks are shown", style="dim"))
        table = _table(compared, most)
        return Panel(Group(*lines, table), title=Text(self.title), title_align="left")


def _table(compared: RankComparison, most: int) -> Table:
    """A column for each rank: where it is, its mean time in each phase, and its waiting."""
    from rich.table import Table
    from rich.text import Text

    ranks = compared.first_ranks(most)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("mean of each")
    for one in ranks:
        table.add_column(f"rank {one.rank}", justify="right")
    table.add_row("now", *(Text(_place(one.now.phase, one.now.waits)) for one in ranks))
    for phase in compared.busiest_phases(_MOST_PHASES):
        means = [one.phases.get(phase, Total()) for one in ranks]
        table.add_row(
            Text(phase_text(phase, last=_PARTS)), *(format_duration(total.mean) for total in means)
        )
    table.add_row("waited", *(format_duration(one.waited / 1e9) for one in ranks))
    return table


def _place(phase: str, waits: bool) -> str:
    return f"{phase_text(phase, last=1)}, waits" if waits else phase_text(phase, last=1)
