"""`trackside compare A B`."""

from __future__ import annotations

import argparse

from .options import Commands


def add(commands: Commands) -> None:
    """Add it to the command line."""
    about = "say how two recorded runs differ, by phase, transition and handler"
    compare = commands.add_parser("compare", help=about, description=about)
    compare.add_argument("a", metavar="A", help="a recording; of a folder all of them together")
    compare.add_argument("b", metavar="B", help="another")
    compare.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    from .comparison import compare
    from .several import merged, recordings
    from .status import status
    from .totals import totals

    with recordings(arguments.a) as a, recordings(arguments.b) as b:
        for letter, found in (("A", a), ("B", b)):
            for recording in found:
                print(f"{letter}  {recording.path}: {recording.meta.name}, {status(recording)}")
        print(f"\n{compare(merged(map(totals, a)), merged(map(totals, b)))}")
