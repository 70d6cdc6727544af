"""`trackside draw module:factory`: draw the chart of a job."""

from __future__ import annotations

import argparse

from ..jobs.import_target import import_factory
from ..options.parser import FACTORY, Commands
from ..output.usage_error import UsageError


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "draw the chart of the trackside.views.Job that your function returns"
    draw = commands.add_parser("draw", help=about, description=about)
    draw.add_argument("factory", help=FACTORY)
    draw.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        default="loop.svg",
        help="the suffix sets the format: .svg, .mermaid, .mmd or .dot; default: loop.svg",
    )
    draw.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    factory = import_factory(arguments.factory)

    from ...engine.diagram.diagram import check_suffix
    from ..jobs.job_factory import create_job

    try:
        check_suffix(arguments.out)
    except ValueError as error:
        raise UsageError(str(error)) from None
    trainer = create_job(factory, arguments.factory).trainer
    try:
        trainer.draw(arguments.out)
    except OSError as error:
        raise UsageError(f"cannot write to --out {arguments.out}: {error.strerror}") from None
    print(f"wrote {arguments.out}")
