"""Stops of a stepwise run before a signal is sent: rows that lead back to the phase they leave."""

from __future__ import annotations

from collections.abc import Iterable

from ...events import TrainState, Transition
from .compiled_table import LeafPhase, TableRow

_BEFORE = "before_"


class StopRow(TableRow):
    """Stands in place of a row; the leaf that it leads to takes that row, and does nothing else."""

    __slots__ = ("replaced",)

    def __init__(self, source: LeafPhase, replaced: TableRow) -> None:
        trigger = replaced.transition.trigger
        again = LeafPhase(source.phase, self._continue)
        again.activity_rows = {trigger: replaced}
        again.closing_rows, again.rows = source.closing_rows, source.rows
        stop = Transition(f"{_BEFORE}{trigger}", source.phase, source.phase)
        super().__init__(again, replaced.sender, replaced.transition)
        self.transition = stop  # the route is not linked: nobody receives it
        self.replaced = replaced

    def _continue(self, state: TrainState) -> str:
        return self.replaced.transition.trigger


def add_stops(leaves: Iterable[LeafPhase], trigger: str) -> None:
    """Stop before each compiled row with this trigger that an activity may choose."""
    for leaf in leaves:
        for name, row in leaf.activity_rows.items():
            if row.transition.trigger == trigger and not isinstance(row, StopRow):
                leaf.activity_rows[name] = StopRow(leaf, row)
        leaf.expect_rows()


def remove_stops(leaves: Iterable[LeafPhase], trigger: str) -> None:
    """Undo `add_stops`."""
    for leaf in leaves:
        for name, row in leaf.activity_rows.items():
            if isinstance(row, StopRow) and row.replaced.transition.trigger == trigger:
                leaf.activity_rows[name] = row.replaced
        leaf.expect_rows()
