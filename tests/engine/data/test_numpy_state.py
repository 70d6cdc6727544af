"""NumPy's global generator is restored as it was, whatever state it is in."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside.engine.data import numpy_state
from trackside.engine.data.numpy_state import numpy_restorer, numpy_was_drawn_from

DRAWS = {
    "uniform": numpy.random.rand,
    "normal": numpy.random.normal,
    "two normals": lambda: numpy.random.normal(size=2),
    "int": lambda: numpy.random.randint(9),
    "shuffle": lambda: numpy.random.permutation(5),
    "624 words": lambda: numpy.random.bytes(4 * 624),
}
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
    restore = numpy_restorer()
    numpy.random.seed(5)
    draw(inside)
    restore()
    assert state() == kept


def test_the_layout_of_the_twister_is_the_one_that_is_read():
    assert numpy_state._layout_is_known(), "numpy.random.MT19937.ctypes.state_address"


def test_without_a_known_layout_the_generator_is_restored_too(monkeypatch):
    monkeypatch.setattr(numpy_state, "_layout_is_known", lambda: False)
    numpy.random.normal()
    kept = state()
    restore = numpy_restorer()
    numpy.random.seed(5)
    assert not numpy_was_drawn_from()
    numpy.random.rand()
    assert numpy_was_drawn_from()
    restore()
    assert state() == kept


@pytest.mark.parametrize("name", [name for name in DRAWS if name != "624 words"])
def test_a_draw_is_seen(name):
    numpy.random.seed(5)
    assert not numpy_was_drawn_from()
    draw([name])
    assert numpy_was_drawn_from()


def test_another_kind_of_generator_is_restored():
    twister = numpy.random.get_bit_generator()
    numpy.random.set_bit_generator(numpy.random.PCG64(3))
    try:
        kept = state()
        restore = numpy_restorer()
        numpy.random.rand()
        restore()
        assert state() == kept
    finally:
        numpy.random.set_bit_generator(twister)
