"""The entry point of the command line; each command has a file, `<name>_command.py`."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ... import __version__
from ..options.parser import CommandLine
from ..output.interrupts import interrupts_after_imports
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
_PACKAGE = Path(__file__).parents[2]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0; 1 if its output cannot be written; 2 after a usage error, one line on
        stderr; 130 after Ctrl-C. An exception of a model, a loader or a handler is not caught.
    """
    logging.basicConfig(format="%(name)s: %(message)s")
    try:
        with interrupts_after_imports(), checked_output(), warnings_in_one_line():
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


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Print trackside's own warnings as its errors are printed; others say where they are from."""
    original = warnings.formatwarning

    def in_one_line(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        if Path(filename).is_relative_to(_PACKAGE):
            return f"trackside: {message}\n"
        return original(message, category, filename, lineno, line)

    warnings.formatwarning = in_one_line
    try:
        yield
    finally:
        warnings.formatwarning = original


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
