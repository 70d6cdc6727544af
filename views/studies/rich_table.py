"""Render a study for the terminal, with Rich.

Rich is imported where it is used: its import draws numbers from the global random state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..output.units import format_duration
from .paired_interval import LEVEL, METHOD, Interval
from .study_result import StudyResult
from .study_table import Line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


HEADS = ("variation", "mean ± spread", "difference", f"{LEVEL:.0%} interval", "time", "handler")


def rich_table(study: StudyResult) -> RenderableType:
    """The table, and below it how it is meant, what was left out, what failed."""
    from rich.console import Group
    from rich.text import Text

    notes = [explanation(study), *study.notes]
    notes += [f"failed: {one.label}, seed {one.seed}: {one.reason}" for one in study.failures]
    return Group(_table(study), *(Text(note, style="dim") for note in notes))


def cells(line: Line) -> tuple[str, ...]:
    """The texts of a line, by `HEADS`."""
    made = len(line.values)
    of_fits = "" if made == line.fits else f" ({made} of {line.fits} fits)"
    return (
        f"{line.variation.label}{of_fits}",
        _mean(line),
        "" if line.difference is None else f"{line.difference.mean:+.3g}",
        _interval(line.difference),
        _duration(line.seconds),
        _duration(line.handler_seconds),
    )


def explanation(study: StudyResult) -> str:
    """How the table is to be read."""
    first = study.lines[0].variation.label
    return (
        f"{study.metric} of {study.factory}, its last value in each fit; seeds "
        f"{', '.join(map(str, study.seeds))}. spread: standard deviation over seeds. difference: "
        f"from `{first}`, mean and {LEVEL:.0%} interval by {METHOD}. time: of a fit. handler: of "
        "it, in receivers of the handler, in a fit with all; what it wraps is not in it."
    )


def _table(study: StudyResult) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, head in enumerate(HEADS):
        table.add_column(head, justify="right" if index else "left", no_wrap=bool(index))
    for line in study.lines:
        style = "bold" if _is_certain(line.difference) else ""
        table.add_row(*map(_plain, cells(line)), style=style)
    return table


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _is_certain(interval: Interval | None) -> bool:
    """Whether the interval does not contain 0."""
    if interval is None or interval.low is None or interval.high is None:
        return False
    return interval.low > 0 or interval.high < 0


def _interval(interval: Interval | None) -> str:
    if interval is None or interval.low is None:
        return ""
    return f"{interval.low:+.2g} … {interval.high:+.2g}"


def _mean(line: Line) -> str:
    if line.mean is None:
        return ""
    return f"{line.mean:.4g}" + ("" if line.deviation is None else f" ± {line.deviation:.2g}")


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else format_duration(seconds)
