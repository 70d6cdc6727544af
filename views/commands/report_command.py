"""`trackside report`: write recordings as an HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..options.parser import Commands
from ..output.output_files import print_written
from ..output.usage_error import UsageError


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "write recordings as a page in one file; it opens offline"
    report = commands.add_parser("report", help=about, description=about)
    report.add_argument(
        "recordings",
        nargs="+",
        type=Path,
        metavar="RECORDING",
        help="a file, or a folder: all its recordings",
    )
    report.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        help="default: the first path, with the suffix .html",
    )
    report.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..page.report import write_report
    from ..recordings.records import RecordingError

    out = arguments.out or arguments.recordings[0].with_suffix(".html")
    try:
        write_report(arguments.recordings, out)
    except RecordingError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None
    print_written(out)
