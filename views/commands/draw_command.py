"""`trackside draw module:factory`: draw the chart of a job."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..jobs.factory_option import add_factory, import_named
from ..options.parser import Commands
from ..output.output_files import is_stream, print_written, write_atomically
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
        default=Path("loop.svg"),
        type=Path,
        help="the suffix sets the format: .svg, .png, .mermaid, .mmd or .dot; /dev/stdout, or "
        "another stream, gets SVG; default: loop.svg",
    )
    draw.add_argument(
        "--narrow",
        action="store_true",
        help="one column of some 310 pixels, for a phone or a column of text; .svg and .png",
    )
    draw.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    factory = import_named(arguments)

    from ...engine.diagram.diagram import FORMATS, check_suffix
    from ..exports.chart_png import png
    from ..jobs.named_job import create_named_job

    out: Path = arguments.out
    suffix = out.suffix or (".svg" if is_stream(out) else "")
    try:
        check_suffix("loop.svg" if suffix in (".png", ".svg") else out, arguments.narrow)
    except ValueError as error:
        raise UsageError(f"{error}, .png") from None
    diagram = create_named_job(factory, arguments).trainer.diagram
    svg = diagram.narrow_svg if arguments.narrow else diagram.svg
    if suffix == ".png":
        content = png(svg)
    else:
        content = (svg if suffix == ".svg" else FORMATS[suffix](diagram)).encode()
    try:
        write_atomically(out, lambda path: path.write_bytes(content))
    except OSError as error:
        raise UsageError(f"cannot write to --out {out}: {error.strerror}") from None
    print_written(out)
