"""`trackside status RECORDING…`: say in a line where each recorded run is, and its ranks below."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..options.parser import Commands
from ..output.text_columns import align_columns

if TYPE_CHECKING:
    from ..recordings.recording import Recording


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "say in a line of each recorded run where it is: running, stuck, ended or died"
    status = commands.add_parser("status", help=about, description=about)
    status.add_argument(
        "recordings", nargs="+", metavar="RECORDING", help="a file, or a folder: all its recordings"
    )
    status.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..recordings.recording_set import open_recordings

    with open_recordings(*arguments.recordings) as recordings:
        rows = [(str(one.path), one.meta.name, _where(one)) for one in recordings]
        of_ranks = [*_of_ranks(recordings)]
    print(align_columns(rows, left=3))
    for sentence in of_ranks:
        print(sentence)


def _of_ranks(recordings: Iterable[Recording]) -> Iterator[str]:
    """Of each run of several ranks, who is slow, who waits for whom, who stands still."""
    from ..recordings.rank_comparison import compare_ranks, group_ranks

    of_ranks = {one.path: one for one in recordings if one.meta.world > 1}
    for run in group_ranks(of_ranks):
        compared = compare_ranks([of_ranks[path] for path in run])
        yield from (f"{of_ranks[run[0]].meta.name}: {sentence}" for sentence in compared.sentences)


def _where(recording: Recording) -> str:
    """Its status, and while it runs about how long it still takes."""
    from ..output.units import format_duration
    from ..recordings.run_health import status
    from ..recordings.time_left import time_left
    from ..recordings.totals import totals

    now = status(recording)
    left = time_left(now, totals(recording), recording.meta.round)
    return str(now) if left is None else f"{now}, about {format_duration(left)} left"
