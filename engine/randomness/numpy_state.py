"""NumPy's global generator, kept, seeded and restored in 6 µs; its own functions take 60."""

from __future__ import annotations

import ctypes
import struct
import sys
from functools import cache, lru_cache
from typing import Any, NamedTuple

from .python_state import twister_words

_WORDS = 624
_Words = ctypes.c_char * (4 * _WORDS + 4)  # a Mersenne twister's state: the words, the position
_Spare = ctypes.c_char * 16  # whether a normal number is left over by a draw of two, and the number
_NO_SPARE = bytes(16)
_AT_END = _WORDS.to_bytes(4, sys.byteorder)  # the position after seeding: no word is left


class _Memory(NamedTuple):
    """The state of NumPy's global generator in memory."""

    words: Any
    spare: Any
    lock: Any


def numpy_state() -> Any:
    """The state of NumPy's global generator; changes with every draw.

    None while NumPy is not imported: the import seeds its generator.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    memory = _memory_of(numpy)
    if memory is None:
        return _PlainState(numpy.random.get_state(legacy=False))
    return memory.words.raw, memory.spare.raw


def numpy_state_dict() -> dict[str, Any] | None:
    """`numpy.random.get_state(legacy=False)` with the words of a Mersenne twister as bytes.

    None while NumPy is not imported.
    """
    state = numpy_state()
    if state is None:
        return None
    if isinstance(state, _PlainState):
        return state.with_bytes()
    words, spare = state
    has_gauss, number = struct.unpack("@iid", spare)[::2]
    inner = {"key": words[:-4], "pos": int.from_bytes(words[-4:], sys.byteorder)}
    gauss = number if has_gauss else 0.0
    return {"bit_generator": "MT19937", "state": inner, "has_gauss": has_gauss, "gauss": gauss}


def restore_numpy_state(state: Any) -> None:
    """Restore NumPy's global generator."""
    numpy = sys.modules.get("numpy")
    if numpy is None or state is None:
        return
    if isinstance(state, _PlainState):
        numpy.random.set_state(state.state)
    else:
        _write(_memory_of(numpy), *state)


def seed_numpy(words: tuple[int, ...]) -> None:
    """What `numpy.random.seed` does with four words of 32 bits, in a third of its time.

    Not for several threads at once.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return
    memory = _memory_of(numpy)
    seeded = None if memory is None else _seeded_words(words)
    if seeded is None:
        numpy.random.seed(words)
    else:
        _write(memory, seeded, _NO_SPARE)


class _PlainState:
    """What NumPy gives as its state; equal to another by value."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _PlainState) and self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]

    def with_bytes(self) -> dict[str, Any]:
        """The state, with the words of a Mersenne twister as bytes."""
        inner = self.state["state"]
        if "key" in inner:
            inner = {**inner, "key": inner["key"].tobytes()}
        return {**self.state, "state": inner}

    def _values(self) -> list[Any]:
        inner = self.state["state"]
        plain = {name: getattr(v, "tolist", lambda v=v: v)() for name, v in inner.items()}
        return [plain, self.state["has_gauss"], self.state["gauss"]]


def _write(memory: Any, words: bytes, spare: bytes) -> None:
    with memory.lock:
        memory.words.raw, memory.spare.raw = words, spare


def _seeded_words(words: tuple[int, ...]) -> bytes | None:
    """The state of a twister that is seeded; None if only NumPy itself can tell."""
    if not (words[3] and _is_seeded_alike()):  # Python drops words of 0 at the end
        return None
    seeded = twister_words(words[0] | words[1] << 32 | words[2] << 64 | words[3] << 96)
    return None if seeded is None else seeded + _AT_END


def _memory_of(numpy: Any) -> _Memory | None:
    """The memory of the generator behind `numpy.random.rand`; None if it cannot be read."""
    get = getattr(numpy.random, "get_bit_generator", None)  # from NumPy 1.24 on
    return None if get is None else _memory(get())


@lru_cache(maxsize=1)
def _memory(generator: Any) -> _Memory | None:
    """The memory of the global generator with this bit generator."""
    numpy = sys.modules["numpy"]
    offset = _spare_offset()
    if type(generator) is not numpy.random.MT19937 or offset is None or not _layout_is_known():
        return None
    words = _Words.from_address(generator.ctypes.state_address)
    spare = _Spare.from_address(id(numpy.random.standard_normal.__self__) + offset)
    return _Memory(words, spare, generator.lock)


@cache
def _layout_is_known() -> bool:
    """Whether the state lies in memory as NumPy has laid it out since 1.17."""
    generator = sys.modules["numpy"].random.MT19937(0)
    state = generator.state["state"]
    expected: bytes = state["key"].tobytes() + int(state["pos"]).to_bytes(4, sys.byteorder)
    return bool(_Words.from_address(generator.ctypes.state_address).raw == expected)


@cache
def _spare_offset() -> int | None:
    """Where in a RandomState the normal number that is left over lies, after whether there is one.

    Found by looking for a number that was put there.
    """
    state = sys.modules["numpy"].random.RandomState(0)
    number, found = 0.1234567890123, []
    for is_left in (1, 0):
        state.set_state({**state.get_state(legacy=False), "has_gauss": is_left, "gauss": number})
        content = ctypes.string_at(id(state), type(state).__basicsize__)
        found.append(content.find(struct.pack("@iid", is_left, 0, number)))
    return found[0] if found[0] > 0 and found[0] == found[1] else None


@cache
def _is_seeded_alike() -> bool:
    """Whether NumPy seeds a twister by several words as Python does by one number."""
    generator = sys.modules["numpy"].random.MT19937(0)
    generator._legacy_seeding([1, 2, 3, 4])
    seeded = twister_words(1 | 2 << 32 | 3 << 64 | 4 << 96)
    now = _Words.from_address(generator.ctypes.state_address).raw
    return seeded is not None and bool(now == seeded + _AT_END)
