"""The return value of `attach`, which undoes it."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType


class Attachment:
    """Undoes one `attach` when it is called, or when its `with` block is left.

    A second call does nothing.
    """

    def __init__(self) -> None:
        self.undo = ExitStack()
        self._connections: list[tuple[str, ExitStack]] = []

    def __call__(self) -> None:
        """Detach the handler: disconnect its receivers, undo its wraps, close its open scopes."""
        self.undo.close()

    def add(self, name: str, connection: ExitStack) -> None:
        """Add one of several connections of a function, to a signal or scope of a name."""
        self._connections.append((name, connection))
        self.undo.callback(connection.close)

    def remove(self, connection: ExitStack) -> None:
        """Undo one connection; with the last one, the whole attachment."""
        connection.close()
        self._connections = [other for other in self._connections if other[1] is not connection]
        if not self._connections:
            self()

    def remove_all(self, name: str) -> None:
        """Undo the connections to a signal or scope of a name."""
        for other, connection in tuple(self._connections):
            if other == name:
                self.remove(connection)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self()
