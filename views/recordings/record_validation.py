"""Find torn records in a ring: slots that were read while they were written, or are empty."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import islice

from ...handlers.recording.format import LAPS, RECORD, RECORD_BYTES, Kind

_NEWEST = 8


def zero_torn_records(data: bytes, first: int, slots: int) -> bytes:
    """Fill torn records with zeros, and keep the intact ones.

    An intact record has a known kind and the lap that follows from its number. Its time is not
    before the previous intact record and not after the newest: half of a torn record is from the
    lap before.

    Args:
        data: consecutive records, as bytes.
        first: the number of the first of them.
        slots: the size of the ring.
    """
    if is_all_zero(data):
        return data
    unpacked = list(RECORD.iter_unpack(data))
    wrap = min(slots - first % slots, len(unpacked))
    torn: list[int] = []
    newest = _newest_time(unpacked, first, slots)
    last = _find_torn(unpacked[:wrap], _valid_tags(first // slots), (0, newest), 0, torn)
    _find_torn(unpacked[wrap:], _valid_tags(first // slots + 1), (last, newest), wrap, torn)
    return _with_zeros(data, torn) if torn else data


def is_all_zero(data: bytes) -> bool:
    """Check for data without any record, as in the unused part of a large file."""
    return data == bytes(len(data))


def _find_torn(
    records: Sequence[tuple[int, int, int]],
    tags: frozenset[int],
    times: tuple[int, int],
    start: int,
    torn: list[int],
) -> int:
    """Append the indices of the torn records of one lap to `torn`.

    Returns the time of the last intact record.
    """
    previous, newest = times
    for index, (time, word, _) in enumerate(records, start):
        if previous <= time <= newest and word >> 16 in tags:
            previous = time
        else:
            torn.append(index)
    return previous


@functools.lru_cache(maxsize=8)
def _valid_tags(lap: int) -> frozenset[int]:
    """The valid upper halves of a record's word in this lap: one for each kind."""
    return frozenset(kind << 12 | lap % LAPS for kind in Kind)


def _newest_time(records: Sequence[tuple[int, int, int]], first: int, slots: int) -> int:
    """The greatest time of the last records with a valid tag; the very last may be torn."""
    numbered = zip(range(first + len(records) - 1, first - 1, -1), reversed(records), strict=True)
    times = (time for n, (time, word, _) in numbered if word >> 16 in _valid_tags(n // slots))
    return max(islice(times, _NEWEST), default=0)


def _with_zeros(data: bytes, torn: list[int]) -> bytes:
    zeroed = bytearray(data)
    for index in torn:
        zeroed[index * RECORD_BYTES : (index + 1) * RECORD_BYTES] = bytes(RECORD_BYTES)
    return bytes(zeroed)
