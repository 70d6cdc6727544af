"""Python's global generator as bytes, read from its memory."""

import random
import struct
import sys

from hypothesis import given
from hypothesis import strategies as st

from trackside.engine.randomness import python_state as module
from trackside.engine.randomness.python_state import packed_python_state, twister_words


@given(seed=st.integers(0, 99), n_normals=st.integers(0, 3), n_bits=st.integers(0, 20000))
def test_the_packed_state_is_that_which_python_gives(seed, n_normals, n_bits):
    random.seed(seed)
    random.getrandbits(n_bits)
    for _ in range(n_normals):
        random.gauss(0, 1)
    version, words, gauss = random.getstate()
    assert packed_python_state() == (version, struct.pack("<625I", *words), gauss)


def test_the_packed_state_is_the_same_where_the_memory_cannot_be_read(monkeypatch):
    from_memory = packed_python_state()
    monkeypatch.setattr(module, "_memory", lambda generator: None)
    assert packed_python_state() == from_memory


def test_another_python_than_cpython_has_no_memory_that_can_be_read(monkeypatch):
    from_memory, words = packed_python_state(), twister_words(7)
    assert len(words) == 4 * 624
    monkeypatch.setattr(sys.implementation, "name", "another")
    module._memory.cache_clear()
    try:
        assert packed_python_state() == from_memory
        assert twister_words(7) is None
    finally:
        module._memory.cache_clear()
