"""`trackside draw module:factory`."""

from __future__ import annotations

import argparse

from ..jobs.import_target import find_factory
from ..output.usage_error import UsageError
from .parser import FACTORY, Commands


def add(commands: Commands) -> None:
    """Add it to the command line."""
    about = "draw the chart of the trackside.views.Job that a function of yours returns"
    draw = commands.add_parser("draw", help=about, description=about)
    draw.add_argument("factory", help=FACTORY)
    draw.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        default="loop.svg",
        help="its suffix says what is drawn: .svg, .mermaid, .mmd or .dot; default: loop.svg",
    )
    draw.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    factory = find_factory(arguments.factory)

    from ...engine.diagram.diagram import check_suffix
    from ..jobs.job_factory import make_job

    try:
        check_suffix(arguments.out)
    except ValueError as error:
        raise UsageError(str(error)) from None
    trainer = make_job(factory, arguments.factory).trainer
    try:
        trainer.draw(arguments.out)
    except OSError as error:
        raise UsageError(f"cannot write to --out {arguments.out}: {error.strerror}") from None
    print(f"wrote {arguments.out}")
