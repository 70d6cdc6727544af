"""Compress records into text that a page can embed."""

from __future__ import annotations

import base64
import sys
import zlib
from array import array
from itertools import pairwise

_WORD = 8
_LARGEST = 2**64 - 1


def pack_records(records: bytes) -> str:
    """Compress records; `unshuffle` in the page's script is the inverse.

    Each time is stored as its difference to the time before, modulo 2**64. Then all first bytes
    are stored, then all second bytes, and so on: neighbours are similar then, and deflate shrinks
    them to a quarter. Little-endian on every machine.
    """
    words = array("Q", records)
    if sys.byteorder == "big":
        words.byteswap()
    times, tags = words[::2], words[1::2]
    pairs = pairwise([0, *times])
    differences = array("Q", [(time - before) & _LARGEST for before, time in pairs])
    planes = _byte_planes(differences) + _byte_planes(tags)
    return base64.b64encode(zlib.compress(planes, 6)).decode("ascii")


def _byte_planes(words: array[int]) -> bytes:
    """All lowest bytes of the words, then all second bytes, up to the highest."""
    if sys.byteorder == "big":
        words.byteswap()
    raw = words.tobytes()
    return b"".join(raw[place::_WORD] for place in range(_WORD))
