"""A recorded run on a terminal, through Rich: where it is, where its time goes, what it costs.

Rich is imported where it is used: it takes numbers from the random state of the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..output.units import duration
from ..recordings.recording import Recording
from ..recordings.run_health import Status, position, status
from ..recordings.totals import Total, Totals, totals

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_RECEIVERS = 12
_TAIL = 2**13
_BAR = 24


class TopView:
    """Draws one recording, again and again; shares of time are those since the last drawing."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._before: dict[str, int] = {}

    def render(self) -> tuple[Status, RenderableType]:
        """How the run is, and the picture of it."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        found, now = totals(self.recording), status(self.recording)
        parts: list[RenderableType] = [
            _heading(now),
            _facts(self.recording, found),
            self._phases(found, now),
        ]
        parts += [table for table in (_receivers(found), _cancels(found, now)) if table.row_count]
        title = Text(f"{self.recording.meta.name} · rank {self.recording.meta.rank}")
        return now, Panel(Group(*parts), title=title, title_align="left")

    def _phases(self, found: Totals, now: Status) -> Table:
        from rich.bar import Bar
        from rich.text import Text

        phases = {phase: total for phase, total in found.phases.items() if "." in phase}
        spent = {phase: total.ns - self._before.get(phase, 0) for phase, total in phases.items()}
        self._before = {phase: total.ns for phase, total in phases.items()}
        if now.condition != "running" or not any(spent.values()):
            spent = self._before
        table = _table("phase", "", "share", "count", "mean", "total")
        for depth, path, inside in _tree(list(phases)):
            share = sum(spent[leaf] for leaf in inside) / (sum(spent.values()) or 1)
            total = Total(
                phases[path].count if path in phases else 0, sum(phases[leaf].ns for leaf in inside)
            )
            name = Text("  " * depth + path.rpartition(".")[2])
            name.stylize("bold" if now.phase == path or now.phase.startswith(f"{path}.") else "")
            bar = Bar(1, 0, share, width=_BAR, color="cyan" if path in phases else "bright_black")
            table.add_row(name, bar, f"{share:.0%}", *_numbers(total))
        return table


def _tree(phases: list[str]) -> Iterator[tuple[int, str, list[str]]]:
    """(depth, path, phases inside) of scopes and phases, each scope before what it holds."""
    parts = [phase.split(".") for phase in phases]
    paths = {".".join(path[:depth]): None for path in parts for depth in range(1, len(path) + 1)}
    order = {path: number for number, path in enumerate(paths)}

    def place(path: str) -> list[int]:
        split = path.split(".")
        return [order[".".join(split[:depth])] for depth in range(1, len(split) + 1)]

    for path in sorted(paths, key=place):
        yield path.count("."), path, [p for p in phases if p == path or p.startswith(f"{path}.")]


def _heading(now: Status) -> Text:
    from rich.text import Text

    colours = {"running": "white on blue", "died": "white on red", "ended": "black on green"}
    colour = "black on yellow" if now.stuck else colours.get(now.condition, "black on white")
    return Text(f" {now} ", style=colour)


def _facts(recording: Recording, found: Totals) -> Text:
    from rich.text import Text

    counters = recording.counters
    scalars = {s.name: s.value for s in recording.scalars(recording.end - _TAIL)}
    facts = [position(counters), f"step {counters.step}", f"{counters.samples} samples"]
    facts += [f"{name} {value:.4g}" for name, value in scalars.items()]
    facts += [f"{duration(found.seconds)} in all", f"{recording.end} records"]
    return Text(" · ".join(facts), style="dim")


def _receivers(found: Totals) -> Table:
    from rich.text import Text

    table = _table("handler", "module", "calls", "mean", "total")
    costly = sorted(found.receivers.items(), key=lambda item: -item[1].ns)
    for entry, total in costly[:_RECEIVERS]:
        table.add_row(Text(str(entry)), Text(entry.module), *_numbers(total))
    return table


def _cancels(found: Totals, now: Status) -> Table:
    from rich.text import Text

    table = _table("cancels and errors", "count")
    counts: dict[str, int] = {}
    for entry, total in found.transitions.items():
        if entry.kind != "normal":
            counts[entry.trigger] = counts.get(entry.trigger, 0) + total.count
    for trigger, count in counts.items():
        table.add_row(Text(trigger), str(count))
    if now.reason:
        table.add_row(Text(now.reason), "")
    return table


def _table(*heads: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place >= len(heads) - 3 and place else "left")
    return table


def _numbers(total: Total) -> tuple[str, str, str]:
    if not total.count:
        return "", "", duration(total.seconds)
    return str(total.count), duration(total.mean), duration(total.seconds)
