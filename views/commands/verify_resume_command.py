"""`trackside verify-resume module:factory`: verify that a fit resumes exactly."""

from __future__ import annotations

import argparse

from ..options.parser import FACTORY, Commands, whole_number


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "stop a short fit at every boundary, resume it in fresh processes, and compare"
    verify = commands.add_parser("verify-resume", help=about, description=about)
    verify.add_argument("factory", help=FACTORY)
    verify.add_argument("--epochs", type=whole_number, default=2, metavar="N", help="default: 2")
    verify.add_argument(
        "--batches",
        type=whole_number,
        default=4,
        metavar="N",
        help="at most, in each pass; default: 4",
    )
    verify.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    from ..verify.verify_resume import verify_resume

    verification = verify_resume(arguments.factory, arguments.epochs, arguments.batches)
    print(verification)
    return 1 if verification.differences else 0
