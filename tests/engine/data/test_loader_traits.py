import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from trackside.engine.data.loader_traits import (
    has_position,
    is_dataset,
    is_one_pass,
    position_keeper,
    rng_before_pass,
    starts_anew,
)


class Anew:
    """An iterator that starts anew where it is iterated."""

    def __iter__(self):
        self.place = 0
        return self

    def __next__(self):
        raise StopIteration


class Once(Anew):
    def __iter__(self):
        return self


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


class Saved(Stream):
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        """It has a position."""


class HalfSaved(Stream):
    def state_dict(self):
        return {}


@pytest.mark.parametrize(
    ("loader", "once"),
    [([1], False), (iter([1]), True), ((n for n in [1]), True), (Once(), True), (Anew(), False)],
)
def test_an_iterator_is_read_once_unless_it_starts_anew(loader, once):
    assert is_one_pass(loader) is once
    assert starts_anew(loader) is (type(loader) is Anew)


def test_the_position_is_kept_by_the_loader_or_by_the_stream_that_it_reads_here():
    stream = Saved()
    assert position_keeper(stream) is stream
    assert position_keeper(DataLoader(stream)) is stream
    assert position_keeper(DataLoader(stream, num_workers=1)) is None
    assert position_keeper(DataLoader(Stream())) is None
    assert position_keeper(DataLoader(HalfSaved())) is None
    assert position_keeper([1]) is None
    assert has_position(stream)
    assert not has_position([1])


def test_a_loader_that_iterates_in_another_way_keeps_no_position():
    class Skipping(DataLoader):
        def __iter__(self):
            return iter([1])

    assert position_keeper(Skipping(Saved())) is None


def test_examples_by_index_are_a_dataset_and_a_stream_is_none():
    assert is_dataset(TensorDataset(torch.zeros(2)))
    assert not is_dataset(Stream())
    assert not is_dataset([1])
    hugging_face = type("Dataset", (), {"__module__": "datasets.arrow_dataset"})
    assert is_dataset(hugging_face())
    assert not is_dataset(type("Dataset", (), {"__module__": "mine"})())


def test_generators_are_kept_for_a_loader_that_they_make_repeat_its_batches():
    assert rng_before_pass(DataLoader(TensorDataset(torch.zeros(2)), shuffle=True))
    for loader in ([1], (1,), iter([1]), Saved()):
        assert rng_before_pass(loader) is None
