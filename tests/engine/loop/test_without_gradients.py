"""The wrap that switches gradients off leaves them as they were found."""

import pytest
import torch
from torch import nn

from trackside.engine.loop.without_gradients import WithoutGradients
from trackside.engine.statechart.compiled_table import Always
from trackside.events import TrainState

STATE = TrainState(nn.Identity())


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("error", [None, ValueError("x"), KeyboardInterrupt()])
def test_gradients_are_off_in_the_activity_and_then_as_before(enabled, error):
    modes = []

    def activity(state):
        modes.append(torch.is_grad_enabled())
        if error is not None:
            raise error
        return "after_pred"

    work = WithoutGradients()(activity)
    with torch.set_grad_enabled(enabled):
        if error is None:
            assert work(STATE) == "after_pred"
        else:
            with pytest.raises(type(error)):
                work(STATE)
        assert torch.is_grad_enabled() == enabled
    assert modes == [False]


def test_an_activity_that_does_no_work_is_left_as_it_is():
    activity = Always("after_batch")
    assert WithoutGradients()(activity) is activity
