"""The global generators, with NumPy, without it, and with another generator in it."""

import random
import struct
import sys

import numpy
import pytest
import torch

from trackside.engine.fit_state.seeding import seed_generators
from trackside.engine.randomness.host_generators import seed_host_generators
from trackside.engine.randomness.numpy_state import numpy_state, restore_numpy_state, seed_numpy
from trackside.engine.randomness.rng_state import (
    generator_states,
    preserve_host_generators,
    restore_generators,
)

KEY = bytes(range(32))


@pytest.fixture
def no_numpy(monkeypatch):
    """As in a program that has not imported it."""
    monkeypatch.delitem(sys.modules, "numpy")
    yield
    assert "numpy" not in sys.modules, "the import would seed its generator"


def drawn():
    return random.random(), torch.rand(()).item()


@pytest.mark.parametrize("seed", [lambda: seed_generators(3), lambda: seed_host_generators(KEY)])
def test_without_numpy_the_others_are_seeded_as_with_it(seed, monkeypatch):
    seed()
    expected = drawn()
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "numpy")
        seed()
        assert drawn() == expected
        assert "numpy" not in sys.modules


def test_without_numpy_the_others_are_restored(no_numpy):
    states = generator_states([])
    with preserve_host_generators():
        expected = drawn()
    assert drawn() == expected
    assert states["numpy"] is None
    restore_generators(states, [])
    assert drawn() == expected


def test_without_numpy_nothing_of_it_is_read_or_written(no_numpy):
    assert numpy_state() is None
    seed_numpy((1, 2, 3, 4))
    restore_numpy_state(None)


@pytest.fixture
def another_generator():
    """A generator that has no Mersenne twister, behind the functions of `numpy.random`."""
    before = numpy.random.get_bit_generator()
    numpy.random.set_bit_generator(numpy.random.PCG64(1))
    yield
    numpy.random.set_bit_generator(before)


def test_another_generator_of_numpy_is_saved_and_restored(another_generator):
    states = generator_states([])
    assert states["numpy"]["bit_generator"] == "PCG64"
    kept = numpy_state()
    expected = numpy.random.rand(3).tolist()
    restore_generators(states, [])
    assert numpy.random.rand(3).tolist() == expected
    restore_numpy_state(kept)
    assert numpy.random.rand(3).tolist() == expected


def test_a_generator_without_a_saved_state_is_left_as_it_is():
    saved, new = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    states = generator_states([("saved", saved)])
    expected = torch.rand(3, generator=saved), torch.rand(6, generator=new)[3:]
    new.manual_seed(2)
    torch.rand(3, generator=new)
    restore_generators(states, [("saved", saved), ("new", new)])
    assert torch.equal(torch.rand(3, generator=saved), expected[0])
    assert torch.equal(torch.rand(3, generator=new), expected[1])


def test_the_words_of_a_twister_are_those_that_python_gives():
    random.seed(5)
    _, words, _ = generator_states([])["python"]
    assert struct.unpack("<625I", words) == random.getstate()[1]
