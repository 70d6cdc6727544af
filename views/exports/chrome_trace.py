"""Recordings as a trace of Chrome's JSON format, which many tools read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import IO, Any

from ..recordings.recording import Recording
from ..recordings.timeline import Closed, Happening, Moment, Opened, walk

_LANES = ("phases", "receivers")


def write_chrome(recordings: Sequence[Recording], file: IO[bytes]) -> None:
    """Write a trace: for each recording a process, with a thread of phases and one of receivers.

    Times are microseconds since the first of the recorders was attached, on the wall clock, so
    that recordings of several machines lie beside each other.
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
    for happening in walk(recording.records(), recording.table):
        yield {"pid": process, "ts": (happening.time_ns + offset) / 1e3, **_of(happening)}


def _of(happening: Happening) -> dict[str, Any]:
    if isinstance(happening, Opened):
        return {"ph": "B", "tid": _LANES.index(happening.lane), "name": happening.name}
    if isinstance(happening, Closed):
        return {"ph": "E", "tid": _LANES.index(happening.lane)}
    if isinstance(happening, Moment):
        args = {"text": happening.text}
        return {"ph": "i", "tid": 0, "s": "p", "name": happening.kind, "args": args}
    value = happening.value if math.isfinite(happening.value) else None
    return {"ph": "C", "name": happening.name, "args": {happening.name: value}}
