"""Records, packed to be carried by a page."""

from __future__ import annotations

import base64
import sys
import zlib
from array import array
from itertools import pairwise

_WORD = 8
_LARGEST = 2**64 - 1


def packed(records: bytes) -> str:
    """Records as text: the page has the inverse of it.

    Of each time only what has passed since the one before it is kept, modulo 2**64, and then all
    first bytes come first, all second bytes second, and so on: neighbours are alike then, and
    deflate makes a quarter of them. Little-endian on every machine.
    """
    words = array("Q", records)
    if sys.byteorder == "big":
        words.byteswap()
    times, tags = words[::2], words[1::2]
    pairs = pairwise([0, *times])
    passed = array("Q", [(time - before) & _LARGEST for before, time in pairs])
    return base64.b64encode(zlib.compress(_planes(passed) + _planes(tags), 6)).decode("ascii")


def _planes(words: array[int]) -> bytes:
    if sys.byteorder == "big":
        words.byteswap()
    raw = words.tobytes()
    return b"".join(raw[place::_WORD] for place in range(_WORD))
