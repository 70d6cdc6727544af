"""A dataset that draws late, or from another generator than before, is read as if it always had."""

import random

import numpy
import pytest
import torch

from trackside.engine import KeyedLoader, SkipExample
from trackside.events import CancelFitException

DRAWS = {
    "Python": random.random,
    "Python's normal": lambda: random.gauss(0, 1),
    "NumPy": numpy.random.rand,
    "NumPy's normal": numpy.random.normal,
    "torch": lambda: float(torch.rand(())),
    "torch's normal": lambda: float(torch.randn(())),
}


class Late:
    """Draws from one example on; from another generator from a later one on."""

    def __init__(self, *names):
        self.names = names
        self.reads = []

    def __len__(self):
        return 24

    def __getitem__(self, index):
        self.reads.append(index)
        drawn = [DRAWS[name]() for place, name in enumerate(self.names) if index > 9 + 4 * place]
        return torch.tensor([index, sum(drawn)], dtype=torch.float64)


def states():
    twister = numpy.random.get_state(legacy=False)
    twister["state"]["key"] = twister["state"]["key"].tolist()
    return random.getstate(), twister, torch.get_rng_state().tolist()


def left_over():
    """Leave a second normal number to each generator."""
    random.gauss(0, 1)
    numpy.random.normal()
    torch.randn(())


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("other", DRAWS)
def test_a_dataset_that_draws_late_is_a_function_of_its_key(name, other):
    left_over()
    before = states()
    alone = list(KeyedLoader(Late(name, other), 2, seed=3))
    assert states() == before
    from_the_start = KeyedLoader(Late(name, other), 2, seed=3)
    from_the_start.load_state_dict({**from_the_start.state_dict(), "batch": 5})
    assert all(map(torch.equal, alone[5:], from_the_start))


@pytest.mark.parametrize("name", DRAWS)
def test_the_program_may_draw_between_two_batches(name):
    loader, host = KeyedLoader(Late(name), 2), []
    for _ in loader:
        host += [draw() for draw in DRAWS.values()]
    again = list(KeyedLoader(Late(name), 2))
    assert all(map(torch.equal, again, list(KeyedLoader(Late(name), 2, num_workers=1))))
    assert len(set(host)) == len(host)


def test_only_the_batch_of_the_first_late_draw_is_read_twice():
    data = Late("NumPy")
    list(KeyedLoader(data, 2))
    assert data.reads == [*range(12), 10, 11, *range(12, 24)]


class Raises(Late):
    """Raises what the first late draw decides."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def __getitem__(self, index):
        if index >= 12:
            number = random.random()
            raise type(self.error)(f"{number:.6f}")
        return super().__getitem__(index)


@pytest.mark.parametrize("error", [OSError(), CancelFitException()])
def test_an_error_after_a_late_draw_is_that_of_the_key(error):
    before = states()
    found = []
    for batch in (0, 6):
        loader = KeyedLoader(Raises(error), 2)
        loader.load_state_dict({**loader.state_dict(), "batch": batch})
        with pytest.raises(type(error)) as caught:
            list(loader)
        found.append(str(caught.value))
    assert found[0] == found[1]
    assert states() == before


def test_an_example_that_is_skipped_after_a_late_draw_is_counted_once():
    loader = KeyedLoader(Raises(SkipExample()), 2)
    list(loader)
    assert loader.skipped == (12, 6)


def test_an_interrupt_in_a_batch_restores_the_generators():
    class Interrupted(Late):
        def __getitem__(self, index):
            if index == 12:
                random.random()
                raise KeyboardInterrupt
            return super().__getitem__(index)

    before = states()
    with pytest.raises(KeyboardInterrupt):
        list(KeyedLoader(Interrupted(), 2))
    assert states() == before


def test_without_memory_that_can_be_read_everything_holds_too(monkeypatch):
    from trackside.engine.randomness import numpy_state, python_state

    whole = list(KeyedLoader(Late("NumPy's normal", "Python"), 2))
    monkeypatch.setattr(numpy_state, "_memory", lambda generator: None)
    monkeypatch.setattr(python_state, "_memory", lambda generator: None)
    left_over()
    before = states()
    assert all(map(torch.equal, whole, list(KeyedLoader(Late("NumPy's normal", "Python"), 2))))
    assert states() == before
