"""`trackside top PATH…`."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ..output.usage_error import UsageError
from .parser import Commands

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .top_view import TopView

_SECONDS = 0.5


def add(commands: Commands) -> None:
    """Add it to the command line."""
    about = "show a recorded fit on the terminal, while it runs or afterwards"
    top = commands.add_parser("top", help=about, description=about)
    top.add_argument(
        "recordings", nargs="+", metavar="RECORDING", help="a file; a folder for all in it"
    )
    top.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    try:
        import rich  # noqa: F401  # an extra, and the view is made of it
    except ModuleNotFoundError:
        raise UsageError("trackside top needs rich: pip install 'trackside[top]'") from None
    from ..recordings.recording_set import recordings
    from .top_view import TopView

    with recordings(*arguments.recordings) as found, suppress(KeyboardInterrupt):
        _show([TopView(recording) for recording in found])


def _show(views: list[TopView]) -> None:
    """Draw until no run goes on; once where there is no terminal."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    goes_on, picture = _drawn(views)
    if not (goes_on and console.is_terminal):
        console.print(picture)
        return
    with Live(picture, console=console, auto_refresh=False) as live:
        while goes_on:
            time.sleep(_SECONDS)
            goes_on, picture = _drawn(views)
            live.update(picture, refresh=True)


def _drawn(views: list[TopView]) -> tuple[bool, RenderableType]:
    """Whether any of the runs goes on, and the picture of all."""
    from rich.console import Group

    drawn = [view.render() for view in views]
    goes_on = any(now.condition in ("running", "waiting") for now, _ in drawn)
    return goes_on, Group(*(picture for _, picture in drawn))
