"""Notes on an exception, and its text: its own methods may refuse both."""

from __future__ import annotations

import traceback
from contextlib import suppress

from .log import log


def add_note(raised: BaseException, note: str) -> None:
    """Add a note; one that is refused is logged, so that it is not lost."""
    try:
        raised.add_note(note)
    except Exception:
        log_note(raised, note)


def log_note(raised: BaseException, note: str) -> None:
    """Log a note that an exception does not take; a log that fails keeps no scope open."""
    with suppress(Exception):
        log.error("%s takes no notes; this one was for it: %s", type(raised).__name__, note)


def traceback_text(error: BaseException) -> str:
    """Its traceback; its class only, if that cannot be formatted."""
    try:
        return "".join(traceback.format_exception(error, chain=False)).rstrip()
    except Exception as why:
        return f"{type(error).__name__}, which cannot be formatted ({type(why).__name__})"


def first_line(error: BaseException) -> str:
    """Its class and the first line of its message, without notes; its class only, if need be."""
    try:
        return traceback.format_exception_only(error)[0].splitlines()[0]
    except Exception:
        return type(error).__name__


def first_message_line(error: BaseException) -> str:
    """The first line of its message; its class, if there is none."""
    try:
        return str(error).strip().partition("\n")[0] or type(error).__name__
    except Exception:
        return type(error).__name__
