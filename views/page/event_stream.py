"""Server-sent events: what is new in a recording, at most ten times a second."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from .recording_feed import RecordingFeed

INTERVAL = 0.1
"""Seconds between two messages, however fast the loop runs; without them, what was recorded before
the stream began is sent."""
STATUS_EVERY = 10
"""Intervals after which the status is computed again, and sent even if there are no new records."""


async def event_stream(
    feed: RecordingFeed, last_id: str, is_stopping: Callable[[], bool]
) -> AsyncIterator[str]:
    """Yield the events of one recording until the server stops or the recording is replaced.

    The number of records in a message is bounded: a client that is behind gets more messages.
    Records that the ring overwrote before they were read are reported as lost; totals stay exact.

    Args:
        feed: of the recording.
        last_id: id of the last event that the client has, `run:position`; empty if it has none.
        is_stopping: returns whether the server is shutting down.
    """
    position = _position(feed, last_id)
    if not position:
        yield _event(feed.begin(), "begin", f"{feed.run}:0")
    turn = end = 0
    while not (is_stopping() or feed.replaced):
        with_status = turn % STATUS_EVERY == 0
        update = await asyncio.to_thread(feed.update, position, refresh_status=with_status)
        if update.records or with_status:
            records = base64.b64encode(update.records).decode("ascii")
            yield _event(
                {**update.message, "records": records}, "message", f"{feed.run}:{update.next}"
            )
        if not turn:
            end = update.next + update.message["left"]
        position = update.next
        turn += 1
        await asyncio.sleep(0 if position < end else INTERVAL)


def _position(feed: RecordingFeed, last_id: str) -> int:
    """The record that the client needs next; 0 if `last_id` does not belong to this run."""
    run, _, position = last_id.rpartition(":")
    is_valid = position.isascii() and position.isdecimal() and len(position) < 20
    return int(position) if run == feed.run and is_valid else 0


def _event(content: dict[str, Any], name: str, identity: str) -> str:
    """Format one event. `content` is one line of JSON, so it cannot end the event."""
    return f"event: {name}\nid: {identity}\ndata: {json.dumps(content)}\n\n"
