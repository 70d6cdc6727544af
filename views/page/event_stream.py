"""Server-sent events: what is new in a recording, ten times a second at most."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from .feed import Feed

EVERY = 0.1
"""Seconds between two messages, however fast the loop runs."""
LOOK = 10
"""Messages from one look at how the run is to the next; where nothing is new, one is sent then."""


async def messages(feed: Feed, after: str, ends: Callable[[], bool]) -> AsyncIterator[str]:
    """Events of one recording until the server ends, or another recording takes its place.

    The number of records in a message is bounded: a reader who is late gets more messages. What the
    ring has overwritten before it was read is told as lost; the totals are exact all the same.

    Args:
        feed: of the recording.
        after: the id of the last event that the reader has, `run:position`; empty: none.
        ends: whether the server does.
    """
    position = _position(feed, after)
    if not position:
        yield _event(feed.begin(), "begin", f"{feed.run}:0")
    turn = 0
    while not (ends() or feed.replaced):
        update = await asyncio.to_thread(feed.update, position, look=turn % LOOK == 0)
        if update.records or turn % LOOK == 0:
            told = {**update.message, "records": base64.b64encode(update.records).decode("ascii")}
            yield _event(told, "message", f"{feed.run}:{update.next}")
        position = update.next
        turn += 1
        await asyncio.sleep(EVERY)


def _position(feed: Feed, after: str) -> int:
    """The record that a reader of this run needs next; 0 for a reader of none, or of another."""
    run, _, place = after.rpartition(":")
    known = run == feed.run and place.isascii() and place.isdecimal() and len(place) < 20
    return int(place) if known else 0


def _event(content: dict[str, Any], name: str, identity: str) -> str:
    """`content` is one line of JSON, so it cannot end the event."""
    return f"event: {name}\nid: {identity}\ndata: {json.dumps(content)}\n\n"
