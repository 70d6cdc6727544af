"""What a training pass leaves behind of the number of its batches."""

import pytest
from helpers import batches, trainer_of


class Unsized:
    """A loader that does not tell its length."""

    def __init__(self, count):
        self.count = count

    def __iter__(self):
        return iter(batches(self.count))


class Wrong(Unsized):
    """One that tells another length than it has."""

    def __len__(self):
        return self.count + 1


def test_the_batches_of_a_loader_that_tells_no_length_are_counted():
    assert trainer_of().fit(Unsized(3)).batches_found == (None, 3)


def test_the_batches_of_a_loader_that_tells_another_length_are_counted():
    with pytest.warns(UserWarning, match="tells 4 batches, and gave 3 in epoch 1"):
        assert trainer_of().fit(Wrong(3)).batches_found == (4, 3)


def test_the_rest_of_an_iterator_is_no_whole_pass():
    assert trainer_of().fit(iter(batches(3))).batches_found is None


def test_a_pass_that_ends_as_it_was_told_leaves_nothing():
    assert trainer_of().fit(batches(3)).batches_found is None
