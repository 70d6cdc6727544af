"""`trackside compare A B`: compare two recorded runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..options.parser import Commands
from ..output.output_files import print_written
from ..output.usage_error import UsageError

if TYPE_CHECKING:
    from ..recordings.recording import Recording


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "compare two recorded runs: metrics and facts, then times with their spread"
    compare = commands.add_parser("compare", help=about, description=about)
    compare.add_argument(
        "a", metavar="A", help="a recording, or a folder: all its recordings together"
    )
    compare.add_argument("b", metavar="B", help="another recording or folder")
    compare.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        help="also write the comparison to FILE, as an HTML page",
    )
    compare.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..recordings.comparison import compare
    from ..recordings.recording_set import open_recordings
    from ..recordings.run_health import status

    with open_recordings(arguments.a) as a, open_recordings(arguments.b) as b:
        for letter, recordings in (("A", a), ("B", b)):
            for recording in recordings:
                print(f"{letter}  {recording.path}: {recording.meta.name}, {status(recording)}")
        print(f"\n{compare(a, b)}")
        if arguments.out is not None:
            _write(a, b, arguments.out)


def _write(a: list[Recording], b: list[Recording], out: Path) -> None:
    from ..page.compare_page import write_comparison

    try:
        write_comparison(a, b, out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None
    print_written(out)
