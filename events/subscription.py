"""What attaching gives back: the means to undo it."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType


class Attachment:
    """Undoes one `attach`: call it, or leave its `with` block. A second time does nothing."""

    def __init__(self) -> None:
        self.undo = ExitStack()

    def __call__(self) -> None:
        """Take the handler off; its receivers, wraps and open scopes with it."""
        self.undo.close()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self()
