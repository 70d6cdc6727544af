"""Which records of a ring are whole."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import islice

from ...handlers.recording.format import LAPS, RECORD, RECORD_BYTES, Kind

_LAST = 8


def sound(data: bytes, first: int, records: int) -> bytes:
    """Consecutive records from number `first` of a ring of `records`; all 0 where one is not whole.

    A whole record has the lap that its number asks for, and a kind. Its time lies between that of
    the whole record before it and the newest: half of a torn record is a lap old.
    """
    if is_empty(data):
        return data
    found = list(RECORD.iter_unpack(data))
    turn = min(records - first % records, len(found))
    torn: list[int] = []
    newest = _newest(found, first, records)
    before = _check(found[:turn], _tags(first // records), (0, newest), 0, torn)
    _check(found[turn:], _tags(first // records + 1), (before, newest), turn, torn)
    return _without(data, torn) if torn else data


def is_empty(data: bytes) -> bool:
    """Whether there is no record in it: as in a large file with nothing in it."""
    return data == bytes(len(data))


def _check(
    found: Sequence[tuple[int, int, int]],
    tags: frozenset[int],
    times: tuple[int, int],
    place: int,
    torn: list[int],
) -> int:
    """Add the places of torn records of one lap to `torn`; the time of the last whole one."""
    before, newest = times
    for here, (time, word, _) in enumerate(found, place):
        if before <= time <= newest and word >> 16 in tags:
            before = time
        else:
            torn.append(here)
    return before


@functools.lru_cache(maxsize=8)
def _tags(turn: int) -> frozenset[int]:
    """What the upper half of the word of a record can be: any kind, and the lap."""
    return frozenset(kind << 12 | turn % LAPS for kind in Kind)


def _newest(found: Sequence[tuple[int, int, int]], first: int, records: int) -> int:
    """The greatest time among the last records of the right lap; the very last may be torn."""
    numbered = zip(range(first + len(found) - 1, first - 1, -1), reversed(found), strict=True)
    times = (time for n, (time, word, _) in numbered if word >> 16 in _tags(n // records))
    return max(islice(times, _LAST), default=0)


def _without(data: bytes, torn: list[int]) -> bytes:
    kept = bytearray(data)
    for place in torn:
        kept[place * RECORD_BYTES : (place + 1) * RECORD_BYTES] = bytes(RECORD_BYTES)
    return bytes(kept)
