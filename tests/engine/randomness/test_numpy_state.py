"""NumPy's global generator is restored as it was, whatever state it is in."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside.engine.randomness import numpy_state as module
from trackside.engine.randomness.numpy_state import (
    numpy_state as current,
)
from trackside.engine.randomness.numpy_state import (
    restore_numpy_state,
    seed_numpy,
)

DRAWS = {
    "uniform": numpy.random.rand,
    "normal": numpy.random.normal,
    "two normals": lambda: numpy.random.normal(size=2),
    "int": lambda: numpy.random.randint(9),
    "shuffle": lambda: numpy.random.permutation(5),
    "624 words": lambda: numpy.random.bytes(4 * 624),
}
WORDS = (1, 2, 3, 4)
draws = st.lists(st.sampled_from(list(DRAWS)), max_size=4)


def state():
    found = numpy.random.get_state(legacy=False)
    return {**found, "state": {n: numpy.asarray(v).tolist() for n, v in found["state"].items()}}


def draw(names):
    for name in names:
        DRAWS[name]()


@given(before=draws, inside=draws, seed=st.integers(0, 99))
def test_the_generator_is_restored_with_the_number_that_it_kept(before, inside, seed):
    numpy.random.seed(seed)
    draw(before)
    kept = state()
    saved = current()
    seed_numpy((1, 2, 3, seed))
    seeded = state()
    draw(inside)
    restore_numpy_state(saved)
    assert state() == kept
    numpy.random.seed((1, 2, 3, seed))
    assert seeded == state()


def test_the_layout_of_the_twister_is_the_one_that_is_read():
    assert module._layout_is_known(), "numpy.random.MT19937.ctypes.state_address"
    assert module._spare_offset() is not None, "numpy.random.RandomState in memory"
    assert module._is_seeded_alike(), "numpy.random.MT19937._legacy_seeding"


def test_without_a_known_layout_the_generator_is_restored_too(monkeypatch):
    monkeypatch.setattr(module, "_layout_is_known", lambda: False)
    numpy.random.normal()
    kept = state()
    saved = current()
    seed_numpy(WORDS)
    seeded = current()
    numpy.random.rand()
    assert current() != seeded
    restore_numpy_state(saved)
    assert state() == kept


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_is_seen(name):
    saved = current()
    seed_numpy(WORDS)
    seeded = current()
    draw([name])
    assert current() != seeded
    restore_numpy_state(saved)


def test_a_normal_number_left_over_beside_a_whole_number_of_twists_is_dropped():
    numpy.random.seed(1)
    kept = state()
    saved = current()
    seed_numpy(WORDS)
    numpy.random.normal()
    while state()["state"]["pos"] != 624:
        numpy.random.bytes(4)
    restore_numpy_state(saved)
    assert state() == kept


def test_another_kind_of_generator_is_restored():
    twister = numpy.random.get_bit_generator()
    numpy.random.set_bit_generator(numpy.random.PCG64(3))
    try:
        kept = state()
        saved = current()
        seed_numpy(WORDS)
        numpy.random.rand()
        restore_numpy_state(saved)
        assert state() == kept
    finally:
        numpy.random.set_bit_generator(twister)


@given(drawn=draws, seed=st.integers(0, 99))
def test_the_state_as_a_dict_is_that_which_numpy_gives(drawn, seed):
    numpy.random.seed(seed)
    draw(drawn)
    given_by_numpy = numpy.random.get_state(legacy=False)
    inner = given_by_numpy["state"]
    expected = {**given_by_numpy, "state": {**inner, "key": inner["key"].tobytes()}}
    assert module.numpy_state_dict() == expected
    assert [*module.numpy_state_dict()] == [*expected]
    assert module._PlainState(given_by_numpy).with_bytes() == expected
