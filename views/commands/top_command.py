"""`trackside top RECORDING…`: show recordings in the terminal."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ..options.parser import Commands
from ..output.usage_error import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..terminal.rank_table import RankTable
    from ..terminal.top_view import TopView

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
    from ..terminal.top_view import TopView

    with open_recordings(*arguments.recordings) as recordings, suppress(KeyboardInterrupt):
        of_ranks = {one.path: one for one in recordings if one.meta.world > 1}
        runs = group_ranks(of_ranks)
        tables = [RankTable([of_ranks[path] for path in run]) for run in runs]
        _show([TopView(recording) for recording in recordings], tables)


def _show(views: list[TopView], tables: list[RankTable]) -> None:
    """Draw until all runs have ended; only once if the output is not a terminal."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    is_active, picture = _render(views, tables)
    if not (is_active and console.is_terminal):
        console.print(picture)
        return
    with Live(picture, console=console, auto_refresh=False) as live:
        while is_active:
            time.sleep(_REFRESH_SECONDS)
            is_active, picture = _render(views, tables)
            live.update(picture, refresh=True)


def _render(views: list[TopView], tables: list[RankTable]) -> tuple[bool, RenderableType]:
    """Whether a run is running or waiting, and the picture of all runs; that of ranks first."""
    from rich.console import Group

    rendered = [view.render() for view in views]
    is_active = any(now.condition in ("running", "waiting") for now, _ in rendered)
    return is_active, Group(
        *(table.render() for table in tables), *(shown for _, shown in rendered)
    )
