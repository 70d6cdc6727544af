"""What is saved once for all ranks, and what for each."""

import pytest
import torch

from trackside.handlers.checkpointing._rank_states import _are_equal, _without_equal

STATE = {"rows": [1, (2.0, "a")], "sum": torch.tensor([1.0, 2.0]), "none": None}


def test_a_rank_keeps_the_states_of_handlers_that_differ_from_rank_0():
    first = {"handlers": {"EMA": STATE, "Metrics": {"count": 1}}, "generators": {"cpu": 0}}
    other = {
        "handlers": {"EMA": {**STATE, "sum": STATE["sum"].clone()}, "Metrics": {"count": 2}},
        "generators": {"cpu": 1},
    }
    assert _without_equal(other, first) == {
        "handlers": {"Metrics": {"count": 2}},
        "generators": {"cpu": 1},
    }
    assert _without_equal(first, first)["handlers"] == {}


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [1, (2.0, "b")]},
        {"rows": [1]},
        {"sum": torch.tensor([1.0, 3.0])},
        {"sum": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"none": 0},
        {"more": 1},
    ],
)
def test_states_with_a_difference_are_not_equal(change):
    assert _are_equal(STATE, dict(STATE))
    assert not _are_equal(STATE, {**STATE, **change})
