"""The rest of a pass that was saved in its middle."""

import pytest
import torch

from trackside.engine.fit_state.loader_position import _RemainingBatches
from trackside.engine.fit_state.optimizer_state import _with_layout_of
from trackside.events import CancelTrainException


@pytest.mark.parametrize("read_ahead", [False, True])
def test_the_batches_are_yielded_in_their_order(read_ahead):
    remaining = _RemainingBatches(iter([1, 2, 3]), "position", read_ahead)
    assert (remaining.loader_state, remaining.has_read_ahead) == ("position", read_ahead)
    assert next(remaining) == 1
    assert (remaining.loader_state, remaining.has_read_ahead) == (None, False)
    assert [*remaining] == [2, 3]


@pytest.mark.parametrize("raised", [OSError("disk"), CancelTrainException("enough")])
def test_what_the_loader_raises_when_it_is_read_ahead_comes_with_the_batch(raised):
    def fails():
        raise raised
        yield

    remaining = _RemainingBatches(fails(), None, read_ahead=True)
    with pytest.raises(type(raised)) as caught:
        next(remaining)
    assert caught.value is raised
    assert [*remaining] == []


def test_what_is_loaded_for_a_parameter_has_its_memory_format():
    like = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    value = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    made = _with_layout_of(value, torch.nn.Parameter(like))
    assert (made.stride(), made.dtype) == (like.stride(), torch.float64)
    assert torch.equal(made, value)
    assert _with_layout_of(value[0], torch.nn.Parameter(like)) is not made
