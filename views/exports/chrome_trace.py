"""Write recordings in Chrome's JSON trace format, which many tools read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import IO, Any

from ..recordings.recording import Recording
from ..recordings.timeline import Instant, SliceBegin, SliceEnd, TimelineEvent, timeline_events

_LANES = ("phases", "receivers")


def write_chrome(recordings: Sequence[Recording], file: IO[bytes]) -> None:
    """Write a trace with a process for each recording: a thread of phases, and one of receivers.

    Times are microseconds of the wall clock since the first recorder was attached, so that
    recordings of several machines can be compared.
    """
    file.write(b'{"displayTimeUnit":"ms","traceEvents":[\n')
    start = min(recording.meta.wall_ns for recording in recordings)
    separator = b""
    for number, recording in enumerate(recordings):
        for event in _events(recording, number, start):
            text = json.dumps(event, allow_nan=False, separators=(",", ":"))
            file.write(separator + text.encode())
            separator = b",\n"
    file.write(b"\n]}\n")


def _events(recording: Recording, process: int, start: int) -> Iterator[dict[str, Any]]:
    meta = recording.meta
    name = f"{meta.name} rank {meta.rank}, process {meta.pid} on {meta.host}"
    yield {"ph": "M", "pid": process, "name": "process_name", "args": {"name": name}}
    for thread, lane in enumerate(_LANES):
        args = {"name": lane}
        yield {"ph": "M", "pid": process, "tid": thread, "name": "thread_name", "args": args}
    offset = meta.wall_ns - meta.monotonic_ns - start
    for event in timeline_events(recording.records(), recording.table):
        yield {"pid": process, "ts": (event.time_ns + offset) / 1e3, **_fields(event)}


def _fields(event: TimelineEvent) -> dict[str, Any]:
    if isinstance(event, SliceBegin):
        return {"ph": "B", "tid": _LANES.index(event.lane), "name": event.name}
    if isinstance(event, SliceEnd):
        return {"ph": "E", "tid": _LANES.index(event.lane)}
    if isinstance(event, Instant):
        args = {"text": event.text}
        return {"ph": "i", "tid": 0, "s": "p", "name": event.kind, "args": args}
    value = event.value if math.isfinite(event.value) else None
    return {"ph": "C", "name": event.name, "args": {event.name: value}}
