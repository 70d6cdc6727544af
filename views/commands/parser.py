"""What the commands of the command line share: their parser, and options that several take."""

from __future__ import annotations

import argparse
from typing import NoReturn, TypeAlias

from ..output.usage_error import UsageError

FACTORY = "module:function, or path/to/file.py:function"


class Parser(argparse.ArgumentParser):
    """One whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""To which a command adds itself."""


def add_out(command: Parser, default: str | None = None) -> None:
    """Add `--out DIR`."""
    command.add_argument(
        "--out",
        metavar="DIR",
        default=default,
        help="where history.csv, model.pt and loop.svg are written; "
        f"default: {default or 'nowhere'}",
    )


def count(text: str) -> int:
    """A whole number from 0 to 2**63 - 1, from its digits."""
    if not (text.isdecimal() and text.isascii() and int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to 2**63 - 1")
    return int(text)
