"""Notes on the errors of an unwinding, which an interrupt may break off."""

from __future__ import annotations

from ...events.utils.exception_text import add_note, log_note


class ErrorNotes:
    """Adds notes to errors; where an interrupt broke one off, the same is logged.

    It might be raised for ever.
    """

    def __init__(self) -> None:
        self._noting: BaseException | None = None

    def add(self, error: BaseException, text: str) -> None:
        """Add a note to an error."""
        if error is self._noting:
            log_note(error, text)
            return
        self._noting = error
        add_note(error, text)
        self._noting = None
