"""Write the values of metrics to a part of a recording that keeps them for the whole run."""

from __future__ import annotations

from collections import Counter
from time import monotonic_ns

from ._mapped_file import RecordingFile
from .format import POINT, Live

_Point = tuple[int, int, int, int, float]


class MetricPoints:
    """Appends points. If their part is full, every second one of the most frequent metrics goes.

    So no metric loses its first or its last value, and those of whole epochs stay the longest. If
    each has one or two values only, new ones are not kept.
    """

    def __init__(self, file: RecordingFile) -> None:
        self._file = file
        self._size = file.layout.points
        start = file.layout.points_at
        self._bytes = memoryview(file.mapped)[start : start + self._size * POINT.size]
        self._count = 0
        self._is_full = False

    def append(self, identity: int, epoch: int, step: int, value: float) -> None:
        """Write a value, as of now."""
        if self._count == self._size and not self._is_full:
            self._thin()
            self._is_full = self._count == self._size
        if self._count < self._size:
            point = monotonic_ns(), identity, epoch & 0xFFFFFFFF, step, value
            POINT.pack_into(self._bytes, self._count * POINT.size, *point)
            self._count += 1
            self._file.set_live(Live.POINTS, self._count)

    def _thin(self) -> None:
        live = self._file.live
        kept = thinned([*POINT.iter_unpack(self._bytes)])
        live[Live.POINTS_CHANGES] += 1
        text = b"".join(POINT.pack(*point) for point in kept)
        self._bytes[: len(text)] = text
        live[Live.POINTS] = self._count = len(kept)
        live[Live.POINTS_CHANGES] += 1


def thinned(points: list[_Point]) -> list[_Point]:
    """Leave out every second point of each metric that has more than half as many as any other."""
    counts = Counter(identity for _, identity, *_ in points)
    most = max(counts.values())
    seen: Counter[int] = Counter()
    kept = []
    for point in points:
        identity = point[1]
        seen[identity] += 1
        is_end = seen[identity] in (1, counts[identity])
        if is_end or counts[identity] <= most // 2 or seen[identity] % 2:
            kept.append(point)
    return kept
