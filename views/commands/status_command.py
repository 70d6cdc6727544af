"""`trackside status RECORDING…`: say in a line where each recorded run is."""

from __future__ import annotations

import argparse

from ..options.parser import Commands
from ..output.text_columns import align_columns


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
    from ..recordings.run_health import status

    with open_recordings(*arguments.recordings) as recordings:
        rows = [(str(one.path), one.meta.name, str(status(one))) for one in recordings]
    print("\n".join(map(str.rstrip, align_columns(rows, left=3).splitlines())))
