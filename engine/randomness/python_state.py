"""Python's global generator, kept and restored in 1 µs; `random.getstate`, `setstate` take 12."""

from __future__ import annotations

import ctypes
import random
import struct
import sys
from functools import cache
from typing import Any

_WORDS = 624
_SIZE = 4 + 4 * _WORDS  # bytes of a Mersenne twister's state: the position, then the words
_Memory = ctypes.c_char * _SIZE

_GLOBAL: Any = random.getstate.__self__  # type: ignore[attr-defined]  # behind `random.random`
_SEEDER = random.Random(0)

PythonState = tuple[Any, float | None]
"""The state, as bytes if its memory can be read, and the normal number that is left over."""


def python_state() -> PythonState:
    """The state of Python's global generator; changes with every draw."""
    memory = _memory(_GLOBAL)
    return (random.getstate() if memory is None else memory.raw), _GLOBAL.gauss_next


def packed_python_state() -> tuple[int, bytes, float | None]:
    """`random.getstate()` with its 625 numbers as bytes, little-endian: the words, the position."""
    memory, gauss = python_state()
    if isinstance(memory, bytes) and sys.byteorder == "little":
        return random.Random.VERSION, memory[4:] + memory[:4], gauss
    version, words, gauss = random.getstate()
    return version, struct.pack(f"<{len(words)}I", *words), gauss


def restore_python_state(state: PythonState) -> None:
    """Restore Python's global generator."""
    words, gauss = state
    memory = _memory(_GLOBAL)
    if memory is None:
        random.setstate(words)
        return
    memory.raw = words
    _GLOBAL.gauss_next = gauss


def twister_words(seed: int) -> bytes | None:
    """The 624 words of a Mersenne twister that is seeded by the 32-bit words of `seed`.

    None if the memory of Python's cannot be read. Not for several threads at once.
    """
    memory = _memory(_SEEDER)
    if memory is None:
        return None
    _SEEDER.seed(seed)
    return bytes(memory.raw[4:])


@cache
def _memory(generator: random.Random) -> Any:
    """The state of a generator in memory; None if it does not lie there as CPython has laid it out.

    The C structure begins with the head of every object.
    """
    enough = type(generator).__basicsize__ >= object.__basicsize__ + _SIZE
    if sys.implementation.name != "cpython" or not enough:
        return None
    memory = _Memory.from_address(id(generator) + object.__basicsize__)
    *words, position = generator.getstate()[1]
    return memory if memory.raw == struct.pack(f"@i{_WORDS}I", position, *words) else None
