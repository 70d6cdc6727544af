"""`trackside verify-resume module:factory`."""

from __future__ import annotations

import argparse

from .parser import FACTORY, Commands, count


def add(commands: Commands) -> None:
    """Add it to the command line."""
    about = "stop a short fit at every boundary, resume it in fresh processes, and compare"
    verify = commands.add_parser("verify-resume", help=about, description=about)
    verify.add_argument("factory", help=FACTORY)
    verify.add_argument("--epochs", type=count, default=2, metavar="N", help="default: 2")
    verify.add_argument(
        "--batches", type=count, default=4, metavar="N", help="in each pass, at most; default: 4"
    )
    verify.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    from ..verify.verify_resume import verify_resume

    found = verify_resume(arguments.factory, arguments.epochs, arguments.batches)
    print(found)
    return 1 if found.differences else 0
