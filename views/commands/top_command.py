"""`trackside top RECORDING…`: show recordings in the terminal."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..options.parser import Commands
from ..output.usage_error import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from ..terminal.keyboard import Keyboard
    from ..terminal.top_screen import View

_REFRESH_SECONDS = 0.5


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "show recorded fits in the terminal, while they run or afterwards"
    top = commands.add_parser("top", help=about, description=about)
    top.add_argument(
        "recordings", nargs="+", metavar="RECORDING", help="a file, or a folder: all its recordings"
    )
    top.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    try:
        import rich  # noqa: F401  # the view needs it; it is an extra
    except ModuleNotFoundError:
        raise UsageError("trackside top needs rich: pip install 'trackside[top]'") from None
    from ..recordings.rank_comparison import group_ranks
    from ..recordings.recording_set import open_recordings
    from ..terminal.rank_table import RankTable
    from ..terminal.top_screen import running_first
    from ..terminal.top_view import TopView

    with open_recordings(*arguments.recordings) as recordings, suppress(KeyboardInterrupt):
        of_ranks = {one.path: one for one in recordings if one.meta.world > 1}
        runs = group_ranks(of_ranks)
        tables = [RankTable([of_ranks[path] for path in run]) for run in runs]
        _show(running_first([*tables, *map(TopView, recordings)]))


def _show(views: Sequence[View]) -> None:
    """Draw one run at a time on a terminal; all of them, once, on anything else."""
    from rich.console import Console, Group
    from rich.text import Text

    from ..terminal.keyboard import open_keyboard

    console = Console()
    with open_keyboard() as keyboard:
        can_draw = console.is_terminal and not console.is_dumb_terminal
        if not (can_draw and (keyboard.is_there or _any_active(views))):
            console.print(Group(*(view.render(console.width) for view in views)))
            return
        _draw_until_ended(console, views, keyboard)
    console.print(Group(*(Text(f"{view.title}  {view.status()}") for view in views)))


def _draw_until_ended(console: Console, views: Sequence[View], keyboard: Keyboard) -> None:
    """Until `q` is pressed; without a keyboard until all runs have ended."""
    from rich.live import Live

    from ..terminal.top_screen import TopScreen

    screen = TopScreen(views)
    live = Live(screen.render(console), console=console, screen=True, auto_refresh=False)
    try:
        live.start(refresh=True)
        while keyboard.is_there or _any_active(views):
            pressed = keyboard.keys(_REFRESH_SECONDS)
            if "q" in pressed:
                return
            for key in pressed:
                screen.press(key)
            live.update(screen.render(console), refresh=True)
    finally:  # `with live` would not end what an interrupt of its start leaves
        live.stop()


def _any_active(views: Sequence[View]) -> bool:
    from ..terminal.top_screen import is_active

    return any(is_active(view.status()) for view in views)
