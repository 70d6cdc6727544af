"""The entry point of the command line; each command has a file, `<name>_command.py`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from ... import __version__
from ..options.parser import CommandLine
from ..output.standard_output import OutputError, checked_output
from ..output.usage_error import UsageError
from . import (
    ablate_command,
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
    status_command,
    top_command,
    verify_resume_command,
    watch_command,
)

COMMANDS = (
    ablate_command,
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
    status_command,
    top_command,
    verify_resume_command,
    watch_command,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0; 1 if its output cannot be written; 2 after a usage error, one line on
        stderr; 130 after Ctrl-C. An exception of a model, a loader or a handler is not caught.
    """
    logging.basicConfig(format="%(name)s: %(message)s")
    try:
        with checked_output():
            return _run(sys.argv[1:] if argv is None else argv)
    except OutputError as error:
        print(f"trackside: {error}", file=sys.stderr)
        return 1
    except UsageError as error:
        print(f"trackside: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("trackside: interrupted; all scopes are closed", file=sys.stderr)
        return 130


def _run(argv: Sequence[str]) -> int:
    arguments = build_parser().parse_args(argv)
    code: int | None = arguments.command(arguments)
    return code or 0


def build_parser() -> CommandLine:
    """The parser of the command line, with all commands."""
    line = CommandLine(f"trackside {__version__}")
    for command in COMMANDS:
        command.add(line.commands)
    return line
