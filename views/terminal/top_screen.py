"""Several recorded runs on one screen: one is chosen and drawn, its picture is scrolled.

Rich is imported where it is used: its import draws numbers from the global random state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from ..recordings.run_health import Status

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.segment import Segment
    from rich.text import Text

_MOST_ROWS = 6
_HELP = "↑↓ scroll  ←→ run  q ends"


class View(Protocol):
    """One run, or the ranks of one, as they are drawn."""

    @property
    def title(self) -> str:
        """What it is called in the list."""

    def status(self) -> Status:
        """Where the run is now."""

    def render(self, width: int) -> RenderableType:
        """The picture."""


def is_active(status: Status) -> bool:
    """Whether a run goes on, or is still to begin."""
    return status.condition in ("running", "waiting")


def running_first(views: Sequence[View]) -> list[View]:
    """Those that run before those that have ended, each in the order in which they came."""
    return sorted(views, key=lambda view: not is_active(view.status()))


class TopScreen:
    """The list of runs, and below it the chosen one."""

    def __init__(self, views: Sequence[View]) -> None:
        self._views = views
        self._chosen = 0
        self._line = 0
        self._lines = self._height = 1

    @property
    def chosen(self) -> View:
        """The run that is drawn."""
        return self._views[self._chosen]

    def press(self, key: str) -> None:
        """Scroll the picture, or choose another run; the first nine also by their numbers."""
        count = len(self._views)
        numbers = {str(number + 1): number for number in range(min(count, 9))}
        turns = {"right": self._chosen + 1, "left": self._chosen - 1, **numbers}
        if key in turns:
            self._chosen, self._line = turns[key] % count, 0
        moved = {
            "up": self._line - 1,
            "down": self._line + 1,
            "page up": self._line - self._height,
            "page down": self._line + self._height,
            "home": 0,
            "end": self._lines,
        }.get(key, self._line)
        self._line = max(min(moved, self._lines - self._height), 0)

    def render(self, console: Console) -> RenderableType:
        """The whole screen, of the size that the terminal has now."""
        from rich.console import Group
        from rich.segment import Segments

        width, height = console.size
        head = list(self._list(width)) if len(self._views) > 1 else []
        options = console.options.update(width=width, height=None)
        lines = console.render_lines(self.chosen.render(width), options)
        self._lines, self._height = len(lines), max(height - len(head) - 1, 1)
        self.press("")  # the picture or the terminal may have become smaller
        shown = lines[self._line : self._line + self._height]
        body = Segments([part for line in shown for part in (*line, _new_line())])
        return Group(*head, body, self._foot(width))

    def _list(self, width: int) -> Iterator[Text]:
        from rich.text import Text

        first = max(min(self._chosen - _MOST_ROWS // 2, len(self._views) - _MOST_ROWS), 0)
        for number, view in [*enumerate(self._views)][first : first + _MOST_ROWS]:
            is_chosen = number == self._chosen
            row = f"{'▸' if is_chosen else ' '}{number + 1} {view.title}  {view.status()}"
            text = Text(row.replace("\n", " "), style="bold" if is_chosen else "", no_wrap=True)
            text.truncate(width, overflow="ellipsis")
            yield text

    def _foot(self, width: int) -> Text:
        from rich.text import Text

        last = min(self._line + self._height, self._lines)
        text = Text(f"{_HELP}  lines {self._line + 1} to {last} of {self._lines}", style="dim")
        text.truncate(width, overflow="ellipsis")
        return text


def _new_line() -> Segment:
    from rich.segment import Segment

    return Segment.line()
