"""`trackside draw module:factory`: draw the chart of a job."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..jobs.factory_option import add_factory, import_named
from ..options.parser import Commands
from ..output.usage_error import UsageError


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "draw the chart of the trackside.Job that your function returns"
    draw = commands.add_parser("draw", help=about, description=about, add_help=False)
    add_factory(draw)
    draw.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        default="loop.svg",
        help="the suffix sets the format: .svg, .png, .mermaid, .mmd or .dot; default: loop.svg",
    )
    draw.add_argument(
        "--narrow",
        action="store_true",
        help="one column of some 310 pixels, for a phone or a column of text; .svg and .png",
    )
    draw.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    factory = import_named(arguments)

    from ...engine.diagram.diagram import check_suffix
    from ..exports.chart_png import png
    from ..jobs.named_job import create_named_job

    is_png = arguments.out.endswith(".png")
    try:
        check_suffix("loop.svg" if is_png else arguments.out, arguments.narrow)
    except ValueError as error:
        raise UsageError(f"{error}, .png") from None
    diagram = create_named_job(factory, arguments).trainer.diagram
    try:
        if is_png:
            Path(arguments.out).write_bytes(
                png(diagram.narrow_svg if arguments.narrow else diagram.svg)
            )
        else:
            diagram.save(arguments.out, narrow=arguments.narrow)
    except OSError as error:
        raise UsageError(f"cannot write to --out {arguments.out}: {error.strerror}") from None
    print(f"wrote {arguments.out}")
