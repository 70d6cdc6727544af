"""`trackside compare A B`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..output.usage_error import UsageError
from .parser import Commands

if TYPE_CHECKING:
    from ..recordings.recording import Recording


def add(commands: Commands) -> None:
    """Add it to the command line."""
    about = "say how two recorded runs differ, by phase, transition and handler"
    compare = commands.add_parser("compare", help=about, description=about)
    compare.add_argument("a", metavar="A", help="a recording; of a folder all of them together")
    compare.add_argument("b", metavar="B", help="another")
    compare.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="also write it there, as a page in one file"
    )
    compare.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..recordings.comparison import compare
    from ..recordings.recording_set import merged, recordings
    from ..recordings.run_health import status
    from ..recordings.totals import totals

    with recordings(arguments.a) as a, recordings(arguments.b) as b:
        for letter, found in (("A", a), ("B", b)):
            for recording in found:
                print(f"{letter}  {recording.path}: {recording.meta.name}, {status(recording)}")
        print(f"\n{compare(merged(map(totals, a)), merged(map(totals, b)))}")
        if arguments.out is not None:
            _write(a, b, arguments.out)


def _write(a: list[Recording], b: list[Recording], out: Path) -> None:
    from ..page.compare_page import write_comparison

    try:
        write_comparison(a, b, out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None
    print(f"\nwrote {out}")
