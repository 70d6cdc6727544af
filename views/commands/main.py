"""The entry point of the command line; each command has a file, `<name>_command.py`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from ... import __version__
from ..options.parser import Parser
from ..output.usage_error import UsageError
from . import (
    compare_command,
    demo_command,
    diff_command,
    draw_command,
    export_command,
    facts_command,
    fit_command,
    handlers_command,
    rehearse_command,
    report_command,
    rewind_command,
    top_command,
    verify_resume_command,
    watch_command,
)

COMMANDS = (
    compare_command,
    demo_command,
    diff_command,
    draw_command,
    export_command,
    facts_command,
    fit_command,
    handlers_command,
    rehearse_command,
    report_command,
    rewind_command,
    top_command,
    verify_resume_command,
    watch_command,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0; 2 after a usage error, one line on stderr; 130 after Ctrl-C. An
        exception of a model, a loader or a handler is not caught.
    """
    logging.basicConfig(format="%(name)s: %(message)s")
    try:
        arguments = build_parser().parse_args(argv)
        code: int | None = arguments.command(arguments)
    except UsageError as error:
        print(f"trackside: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("trackside: interrupted; all scopes are closed", file=sys.stderr)
        return 130
    return code or 0


def build_parser() -> Parser:
    """The parser of the command line, with all commands."""
    root = Parser(prog="trackside", description="Training as a state machine.")
    root.add_argument("--version", action="version", version=f"trackside {__version__}")
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return root
