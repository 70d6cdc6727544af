"""What a rank repeats while the loaders of the others go on; one process is group enough."""

from types import SimpleNamespace

import pytest

from trackside.handlers.distributed._joined_loaders import JoinedLoaders


def two_ranks():
    """The state of a rank; the sum over one process says that the other's loader goes on."""
    return SimpleNamespace(
        world_size=2,
        rank=0,
        job="fit",
        unit_scope="batch",
        paused=None,
        validate_next=False,
        training=True,
        batches="training",
        batch_index=-1,
    )


def fetched(joined, state, batch):
    """Fetch a batch, or, if it is None, the end of the loader."""

    def fetch(state):
        if batch is None:
            return "after_train" if state.training else "after_validate"
        state.batch_index += 1
        state.batch, state.xb, state.yb, state.batch_size = batch, f"x {batch}", f"y {batch}", 4
        return "begin_batch"

    trigger, counts = joined.fetch(fetch, state)
    return trigger, counts, state.batch, state.xb, state.yb


@pytest.mark.parametrize("ended_before", [True, False])
def test_a_training_that_paused_repeats_its_own_last_batch(group, ended_before):
    joined, state = JoinedLoaders(), two_ranks()
    fetched(joined, state, "trained")
    repeated = ("begin_batch", (0, 0), "trained", "x trained", "y trained")
    if ended_before:
        assert fetched(joined, state, None) == repeated
    state.paused, state.training, state.batches, state.batch_index = "training", False, "other", -1
    fetched(joined, state, "validated")
    assert fetched(joined, state, None)[2] == "validated"
    state.paused, state.training, state.batches, state.batch_index = None, True, "training", 0
    assert fetched(joined, state, None) == repeated
