"""The parser of the command line, and arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn, TypeAlias

from ...events.utils.similar_names import did_you_mean
from ..output.usage_error import UsageError

FACTORY = "module:function, or path/to/file.py:function"


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line.

    Attributes:
        names: the options that it knows.
    """

    def __init__(self, **options: Any) -> None:
        self.names: list[str] = []
        super().__init__(allow_abbrev=False, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        action = super().add_argument(*names, **options)
        self.names += action.option_strings
        return action

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""The collection of commands to which `add` adds one."""


class CommandLine:
    """The parser of all commands."""

    def __init__(self, version: str) -> None:
        self._root = Parser(prog="trackside", description="Training as a state machine.")
        self._root.add_argument("--version", action="version", version=version)
        self.commands: Commands = self._root.add_subparsers(required=True, metavar="COMMAND")

    def parse_args(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse a command and its options; what the command does not know is in `more`.

        Raises:
            UsageError: there is no such command, an argument is wrong, or the command takes no
                other arguments.
        """
        word = next((word for word in argv if not word.startswith("-")), None)
        known = self.commands.choices
        if word is not None and word not in known:
            self._root.error(f"{word!r} is no command{did_you_mean(word, known, cutoff=0.6)}")
        arguments, more = self._root.parse_known_args(argv)
        arguments.more = more
        if more and not hasattr(arguments, "takes_more"):
            parser = known[str(word)]
            parser.error(unrecognized(more, parser.names))
        return arguments


def unrecognized(more: Sequence[str], names: Sequence[str]) -> str:
    """The message for arguments that nobody knows, with the most similar of the known names."""
    first = next((word.partition("=")[0] for word in more if word.startswith("-")), "")
    return f"unrecognized arguments: {' '.join(more)}{did_you_mean(first, names, cutoff=0.6)}"


def add_out_option(command: Parser, files: str, default: str | None = None) -> None:
    """Add `--out DIR`, which gets the files and those of every run."""
    command.add_argument(
        "--out",
        metavar="DIR",
        default=default,
        help=f"write {files}, history.csv, model.pt and loop.svg to this folder; "
        f"default: {default or 'write no files'}",
    )


def whole_number(text: str) -> int:
    """Parse a whole number from 0 to 2**63 - 1; only digits are allowed."""
    if not (text.isdecimal() and text.isascii() and int(text) < 2**63):
        raise argparse.ArgumentTypeError(
            f"found {text!r}; allowed: a whole number from 0 to 2**63 - 1"
        )
    return int(text)
