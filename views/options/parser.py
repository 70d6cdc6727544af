"""The parser of the command line, and arguments that several commands share."""

from __future__ import annotations

import argparse
from typing import NoReturn, TypeAlias

from ..output.usage_error import UsageError

FACTORY = "module:function, or path/to/file.py:function"


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""The collection of commands to which `add` adds one."""


def add_out_option(command: Parser, default: str | None = None) -> None:
    """Add `--out DIR`."""
    command.add_argument(
        "--out",
        metavar="DIR",
        default=default,
        help="write history.csv, model.pt and loop.svg to this folder; "
        f"default: {default or 'write no files'}",
    )


def whole_number(text: str) -> int:
    """Parse a whole number from 0 to 2**63 - 1; only digits are allowed."""
    if not (text.isdecimal() and text.isascii() and int(text) < 2**63):
        raise argparse.ArgumentTypeError(
            f"found {text!r}; allowed: a whole number from 0 to 2**63 - 1"
        )
    return int(text)
