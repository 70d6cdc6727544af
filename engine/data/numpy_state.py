"""NumPy's global generator, kept and restored for a batch in 5 µs; its own functions take 200."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

_WORDS = 624
_SIZE = 4 * _WORDS + 4  # bytes of a Mersenne twister's state: the words, then the position


def numpy_restorer() -> Callable[[], object]:
    """A function that restores NumPy's global generator as it is now.

    The generator must be seeded before anybody draws from it again.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:  # not imported yet: the import seeds its generator
        return _nothing
    generator = _global_twister(numpy)
    if generator is None:
        return partial(numpy.random.set_state, numpy.random.get_state(legacy=False))
    words = _words(generator)
    spare = numpy.random.standard_normal()  # left over by an earlier draw of two, if there is one
    if _words(generator) == words:
        return partial(numpy.random.set_state, _state_of(numpy, words, spare))
    return partial(_restore_words, numpy, generator, words)


def numpy_was_drawn_from() -> bool:
    """Whether NumPy's global generator has been drawn from since it was seeded."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return False
    generator = _global_twister(numpy)
    if generator is None:
        return bool(numpy.random.get_state(legacy=False)["state"].get("pos") != _WORDS)
    return _words(generator)[-4:] != _WORDS.to_bytes(4, sys.byteorder)


def _nothing() -> None:
    pass


def _global_twister(numpy: Any) -> Any | None:
    """The Mersenne twister behind `numpy.random.rand`; None if its memory cannot be read."""
    get = getattr(numpy.random, "get_bit_generator", None)  # from NumPy 1.24 on
    generator = None if get is None else get()
    return generator if type(generator) is numpy.random.MT19937 and _layout_is_known() else None


@cache
def _layout_is_known() -> bool:
    """Whether the state lies in memory as NumPy has laid it out since 1.17."""
    generator = sys.modules["numpy"].random.MT19937(0)
    state = generator.state["state"]
    expected: bytes = state["key"].tobytes() + int(state["pos"]).to_bytes(4, sys.byteorder)
    return _words(generator) == expected


def _words(generator: Any) -> bytes:
    return ctypes.string_at(generator.ctypes.state_address, _SIZE)


def _restore_words(numpy: Any, generator: Any, words: bytes) -> None:
    numpy.random.seed(0)  # drops a normal number that the batch has left over
    with generator.lock:
        ctypes.memmove(generator.ctypes.state_address, words, _SIZE)


def _state_of(numpy: Any, words: bytes, spare: float) -> dict[str, Any]:
    key = numpy.frombuffer(words[:-4], dtype=numpy.uint32)
    inner = {"key": key, "pos": int.from_bytes(words[-4:], sys.byteorder)}
    return {"bit_generator": "MT19937", "state": inner, "has_gauss": 1, "gauss": spare}
