"""A mistake of the person at the command line."""

from __future__ import annotations


class UsageError(Exception):
    """Ends the command: its one line goes to stderr, and the exit code is 2."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, for use in a `UsageError`."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
