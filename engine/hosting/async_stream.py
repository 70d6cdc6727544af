"""A run as an async iterator of transitions."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

from ...events import Transition


class Stream:
    """An async iterator over the transitions of a run; closing or dropping it cancels the run.

    Not an async generator: the event loop closes a dropped async generator only later.
    """

    def __init__(self, transitions: Generator[Transition, None, None]) -> None:
        self._transitions = transitions

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Transition:
        try:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._transitions.close()
                raise
            return next(self._transitions)
        except StopIteration:
            raise StopAsyncIteration from None
        except StopAsyncIteration as error:  # as Python does in an async generator
            raise RuntimeError("the run raised StopAsyncIteration") from error

    async def aclose(self) -> None:
        """Cancel the run if it has not ended; its scopes close."""
        self._transitions.close()
