"""The command line: a file for each command, `<name>_command.py`, which adds itself."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from ... import __version__
from ..output.usage_error import UsageError
from . import (
    compare_command,
    demo_command,
    draw_command,
    export_command,
    fit_command,
    handlers_command,
    report_command,
    top_command,
    verify_resume_command,
    watch_command,
)
from .parser import Parser

COMMANDS = (
    compare_command,
    demo_command,
    draw_command,
    export_command,
    fit_command,
    handlers_command,
    report_command,
    top_command,
    verify_resume_command,
    watch_command,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0; 2 after an error of use, one line on stderr; 130 after Ctrl-C. What a
        model, a loader or a handler raises escapes.
    """
    logging.basicConfig(format="%(name)s: %(message)s")
    try:
        arguments = parser().parse_args(argv)
        code: int | None = arguments.command(arguments)
    except UsageError as error:
        print(f"trackside: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("trackside: interrupted; every scope is closed", file=sys.stderr)
        return 130
    return code or 0


def parser() -> Parser:
    """What the command line takes."""
    root = Parser(prog="trackside", description="Training as a state machine.")
    root.add_argument("--version", action="version", version=f"trackside {__version__}")
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return root
