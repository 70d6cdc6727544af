"""Write recordings as a trace for Perfetto: https://ui.perfetto.dev, or its trace processor."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from importlib import import_module
from typing import IO, Any

from ..output.usage_error import UsageError
from ..recordings.recording import Recording
from ..recordings.records import Meta
from ..recordings.timeline import Instant, SliceBegin, SliceEnd, TimelineEvent, timeline_events

_SEQUENCE = 1
_REALTIME, _MONOTONIC = 1, 3  # ids of Perfetto's built-in clocks


def write_perfetto(recordings: Sequence[Recording], file: IO[bytes]) -> None:
    """Write a trace with a process for each recording: tracks of phases, receivers and scalars.

    Times are wall clock times, so that recordings of several machines can be compared.

    Raises:
        UsageError: the package perfetto is not installed.
    """
    try:
        builder = import_module("perfetto.trace_builder.proto_builder")
    except ModuleNotFoundError:
        raise UsageError(
            "a Perfetto trace needs perfetto: pip install 'trackside[perfetto]'"
        ) from None
    out = builder.StreamingTraceProtoBuilder(file)
    for recording in recordings:
        process = _Process(out, recording.meta)
        for event in timeline_events(recording.records(), recording.table):
            process.write(event)


class _Process:
    """Writes one process of the trace; a track is declared when it is first used."""

    def __init__(self, out: Any, meta: Meta) -> None:
        self.out = out
        self.meta = meta
        self.offset = meta.wall_ns - meta.monotonic_ns
        self.name = f"{meta.name} rank {meta.rank} on {meta.host}"
        self.tracks: dict[str, int] = {}
        self.uuid = self._uuid("")
        self._write_clocks()
        packet = out.create_packet()
        packet.track_descriptor.uuid = self.uuid
        packet.track_descriptor.process.pid = meta.pid
        packet.track_descriptor.process.process_name = self.name
        out.write_packet(packet)

    def write(self, event: TimelineEvent) -> None:
        packet = self.out.create_packet()
        packet.timestamp = event.time_ns + self.offset
        packet.trusted_packet_sequence_id = _SEQUENCE
        proto = packet.track_event
        if isinstance(event, SliceBegin):
            proto.type = proto.TYPE_SLICE_BEGIN
            proto.name, proto.track_uuid = event.name, self._track(event.lane)
        elif isinstance(event, SliceEnd):
            proto.type = proto.TYPE_SLICE_END
            proto.track_uuid = self._track(event.lane)
        elif isinstance(event, Instant):
            proto.type = proto.TYPE_INSTANT
            proto.name, proto.track_uuid = event.text, self._track(f"{event.kind}s")
        else:
            proto.type = proto.TYPE_COUNTER
            proto.track_uuid = self._track(event.name, counter=True)
            proto.double_counter_value = event.value
        self.out.write_packet(packet)

    def _track(self, name: str, counter: bool = False) -> int:
        key = f"{'counter' if counter else 'track'} {name}"
        if key not in self.tracks:
            self.tracks[key] = self._uuid(key)
            packet = self.out.create_packet()
            descriptor = packet.track_descriptor
            descriptor.uuid, descriptor.parent_uuid = self.tracks[key], self.uuid
            descriptor.name = name
            if counter:
                descriptor.counter.SetInParent()
            self.out.write_packet(packet)
        return self.tracks[key]

    def _uuid(self, track: str) -> int:
        return zlib.crc32(f"{self.meta.host} {self.meta.pid} {self.name} {track}".encode()) + 1

    def _write_clocks(self) -> None:
        packet = self.out.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        packet.trace_packet_defaults.timestamp_clock_id = _REALTIME
        packet.sequence_flags = packet.SEQ_INCREMENTAL_STATE_CLEARED
        snapshot = packet.clock_snapshot
        snapshot.primary_trace_clock = _REALTIME
        for clock, time in ((_REALTIME, self.meta.wall_ns), (_MONOTONIC, self.meta.monotonic_ns)):
            added = snapshot.clocks.add()
            added.clock_id, added.timestamp = clock, time
        self.out.write_packet(packet)
