"""Render a recorded run for the terminal, with Rich: its status, its times, its costs.

Rich is imported where it is used: its import draws numbers from the global random state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..output.units import format_duration
from ..recordings.recording import Recording
from ..recordings.run_health import Status, format_position, status
from ..recordings.time_left import time_left
from ..recordings.totals import Total, Totals, totals

if TYPE_CHECKING:
    from rich.console import JustifyMethod, RenderableType
    from rich.table import Table
    from rich.text import Text

_MAX_RECEIVERS = 12
_TAIL_RECORDS = 2**13
_BAR_WIDTH, _LEAST_BAR = 24, 6
_BESIDE_BAR = 42
"""Columns of the frame and of the numbers; the rest is for names and bars."""
_BESIDE_NAMES = 30
"""Columns of the frame and of calls, mean and total."""
_WIDE = 90
"""From so many columns on, there is room for modules."""


class TopView:
    """Renders one recording repeatedly; shares of time are those since the last rendering."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._last_ns: dict[str, int] = {}

    @property
    def title(self) -> str:
        """The name of the run, and its rank."""
        return f"{self.recording.meta.name} · rank {self.recording.meta.rank}"

    def status(self) -> Status:
        """Where the run is now."""
        return status(self.recording)

    def render(self, width: int) -> RenderableType:
        """The picture, in so many columns."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        current, now = totals(self.recording), self.status()
        parts: list[RenderableType] = [
            _heading(now),
            _facts(self.recording, current, now),
            self._phases(current, now, width),
        ]
        tables = _receivers(current, width), _cancels(current, now)
        parts += [table for table in tables if table.row_count]
        return Panel(Group(*parts), title=Text(self.title), title_align="left")

    def _phases(self, current: Totals, now: Status, width: int) -> Table:
        from rich.bar import Bar
        from rich.text import Text

        phases = {phase: total for phase, total in current.phases.items() if "." in phase}
        spent = {phase: total.ns - self._last_ns.get(phase, 0) for phase, total in phases.items()}
        self._last_ns = {phase: total.ns for phase, total in phases.items()}
        if now.condition != "running" or not any(spent.values()):
            spent = self._last_ns
        tree = [*_tree(list(phases))]
        names = ["  " * depth + path.rpartition(".")[2] for depth, path, _ in tree]
        bar_width = min(width - _BESIDE_BAR - max(map(len, names), default=0), _BAR_WIDTH)
        bars = ("",) * (bar_width >= _LEAST_BAR)
        table = _table("phase", *bars, "share", "count", "mean", "total")
        for name, (_, path, inside) in zip(names, tree, strict=True):
            share = sum(spent[leaf] for leaf in inside) / (sum(spent.values()) or 1)
            total = Total(
                phases[path].count if path in phases else 0, sum(phases[leaf].ns for leaf in inside)
            )
            text = Text(name)
            text.stylize("bold" if now.phase == path or now.phase.startswith(f"{path}.") else "")
            color = "cyan" if path in phases else "bright_black"
            bar = [Bar(1, 0, share, width=bar_width, color=color) for _ in bars]
            table.add_row(text, *bar, f"{share:.0%}", *_numbers(total))
        return table


def _tree(phases: list[str]) -> Iterator[tuple[int, str, list[str]]]:
    """(depth, path, phases inside) of scopes and phases; a scope comes before its content."""
    parts = [phase.split(".") for phase in phases]
    paths = {".".join(path[:depth]): None for path in parts for depth in range(1, len(path) + 1)}
    order = {path: number for number, path in enumerate(paths)}

    def sort_key(path: str) -> list[int]:
        split = path.split(".")
        return [order[".".join(split[:depth])] for depth in range(1, len(split) + 1)]

    for path in sorted(paths, key=sort_key):
        yield path.count("."), path, [p for p in phases if p == path or p.startswith(f"{path}.")]


def _heading(now: Status) -> Text:
    from rich.text import Text

    colours = {"running": "white on blue", "died": "white on red", "ended": "black on green"}
    colour = "black on yellow" if now.stuck else colours.get(now.condition, "black on white")
    return Text(f" {now} ", style=colour)


def _facts(recording: Recording, current: Totals, now: Status) -> Text:
    from rich.text import Text

    counters, left = recording.counters, time_left(now, current, recording.meta.round)
    scalars = {s.name: s.value for s in recording.scalars(recording.end - _TAIL_RECORDS)}
    planned = f" of {counters.n_steps}" if counters.n_steps else ""
    step = f"step {counters.step}{planned}"
    facts = [format_position(counters), step, f"{counters.samples} samples"]
    facts += [f"{name} {value:.4g}" for name, value in scalars.items()]
    facts += [f"{format_duration(current.seconds)} in all", f"{recording.end} records"]
    facts += [] if left is None else [f"about {format_duration(left)} left"]
    return Text(" · ".join(facts), style="dim")


def _receivers(current: Totals, width: int) -> Table:
    from rich.text import Text

    has_modules = width >= _WIDE
    table = _table("handler", *("module",) * has_modules, "calls", "mean", "total")
    longest = None if has_modules else width - _BESIDE_NAMES
    costly = sorted(current.receivers.items(), key=lambda item: -item[1].ns)
    for entry, total in costly[:_MAX_RECEIVERS]:
        modules = [Text(entry.module)] * has_modules
        table.add_row(Text(_cut(str(entry), longest)), *modules, *_numbers(total))
    return table


def _cut(name: str, longest: int | None) -> str:
    """Without its middle, if it is too long: both ends tell `any_transition at …` apart."""
    if longest is None or len(name) <= longest:
        return name
    begin = longest // 3
    return f"{name[:begin]}…{name[begin + 1 - longest :]}"


def _cancels(current: Totals, now: Status) -> Table:
    from rich.text import Text

    table = _table("cancels and errors", "count")
    counts: dict[str, int] = {}
    for entry, total in current.transitions.items():
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
    for index, head in enumerate(heads):
        is_number = index > 0 and head not in ("", "module")
        justify: JustifyMethod = "right" if is_number else "left"
        table.add_column(head, justify=justify, no_wrap=True)
    return table


def _numbers(total: Total) -> tuple[str, str, str]:
    if not total.count:
        return "", "", format_duration(total.seconds)
    return str(total.count), format_duration(total.mean), format_duration(total.seconds)
