"""What a person at the command line got wrong."""

from __future__ import annotations


class UsageError(Exception):
    """Ends the command with this one line on stderr, and exit code 2."""


def first_line(error: BaseException) -> str:
    """What an error says, as far as it fits on the one line that a `UsageError` has."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
