"""What a rank resumes of the state of a fit of several ranks."""

import warnings

import pytest
from torch import nn

from trackside import TrainState
from trackside.engine import CheckpointError
from trackside.engine.checkpoint.rank_entries import entries_of_rank


def entry(rank, **handlers):
    return {"handlers": handlers, "loaders": {"at": rank}, "generators": {"cpu": rank}}


def saved(*ranks):
    first = {"handlers": {"EMA": "of 0", "Metrics": "of 0"}, "loaders": {"at": 0}}
    return {"step": 7, **first, "generators": {"cpu": 0}, "ranks": list(ranks)}


def state_of(rank, ranks):
    state = TrainState(nn.Identity())
    state.rank, state.world_size = rank, ranks
    return state


def test_each_rank_resumes_its_own_entries():
    found = entries_of_rank(saved(entry(0), entry(1, Metrics="of 1")), state_of(1, 2))
    assert found == {
        "step": 7,
        "handlers": {"EMA": "of 0", "Metrics": "of 1"},
        "loaders": {"at": 1},
        "generators": {"cpu": 1},
    }


@pytest.mark.parametrize("ranks", [1, 3])
def test_another_number_of_ranks_resumes_those_of_rank_0_with_a_warning(ranks):
    with pytest.warns(UserWarning, match=f"a fit of 2 processes is resumed by {ranks}"):
        found = entries_of_rank(saved(entry(0), entry(1, Metrics="of 1")), state_of(0, ranks))
    assert found["handlers"]["Metrics"] == "of 0"
    assert "ranks" not in found


def test_a_fit_of_one_process_resumes_as_it_was_saved():
    one = {"step": 7}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert entries_of_rank(one, state_of(0, 1)) is one


@pytest.mark.parametrize("ranks", [[], {}, "ranks", [1], [{"handlers": {}}], [entry(0), None]])
def test_forged_entries_of_ranks_are_refused(ranks):
    with pytest.raises(CheckpointError, match="are not those of a fit"):
        entries_of_rank({**saved(), "ranks": ranks}, state_of(0, 2))
