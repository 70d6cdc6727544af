"""`trackside verify-resume module:factory`: verify that a fit resumes exactly."""

from __future__ import annotations

import argparse

from ..jobs.factory_option import add_factory, import_named
from ..options.parser import Commands, whole_number

_EPOCHS = 2


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "stop a short fit at every boundary, resume it in fresh processes, and compare"
    verify = commands.add_parser("verify-resume", help=about, description=about, add_help=False)
    add_factory(verify)
    verify.add_argument("--epochs", type=whole_number, metavar="N", help=f"default: {_EPOCHS}")
    verify.add_argument(
        "--batches",
        type=whole_number,
        default=4,
        metavar="N",
        help="at most, in each pass; default: 4",
    )
    verify.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    factory = import_named(arguments)

    from ..jobs.factory_arguments import read_arguments
    from ..jobs.named_job import request_of
    from ..verify.verify_resume import verify_request

    request = request_of(arguments)
    read_arguments(factory, arguments)
    epochs = _EPOCHS if arguments.epochs is None else arguments.epochs
    verification = verify_request(request, epochs, arguments.batches)
    print(verification)
    return 1 if verification.differences else 0
