"""What attaching gives back: the means to undo it."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType


class Attachment:
    """Undoes one `attach`: call it, or leave its `with` block. A second time does nothing."""

    def __init__(self) -> None:
        self.undo = ExitStack()
        self._connections: list[ExitStack] = []

    def __call__(self) -> None:
        """Take the handler off; its receivers, wraps and open scopes with it."""
        self.undo.close()

    def add(self, connection: ExitStack) -> None:
        """Take over one of several connections of a function."""
        self._connections.append(connection)
        self.undo.callback(connection.close)

    def remove(self, connection: ExitStack) -> None:
        """Undo one of them; with the last one the whole attachment."""
        connection.close()
        self._connections.remove(connection)
        if not self._connections:
            self()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self()
