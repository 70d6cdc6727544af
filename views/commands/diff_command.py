"""`trackside diff A B`: find the first difference of two journals."""

from __future__ import annotations

import argparse

from ..options.parser import Commands
from ..output.usage_error import UsageError


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "find the first transition or field in which two journals differ"
    diff = commands.add_parser("diff", help=about, description=about)
    diff.add_argument("a", metavar="A", help="a journal, the file of a Journal handler")
    diff.add_argument("b", metavar="B", help="another journal")
    diff.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="NAME",
        help="a field, or a reported value, that may differ; may be given several times",
    )
    diff.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    from ..journals.journal_diff import MEASURED, diff_journals
    from ..journals.journal_reader import JournalError

    try:
        result = diff_journals(arguments.a, arguments.b, {*MEASURED, *arguments.ignore})
    except JournalError as error:
        raise UsageError(str(error)) from None
    print(result)
    return 1 if result.difference else 0
