"""A mistake of the person at the command line."""

from __future__ import annotations


class UsageError(Exception):
    """Ends the command: its one line goes to stderr, and the exit code is 2."""
