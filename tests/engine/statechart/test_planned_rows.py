"""Of which rows an activity may return the trigger."""

import pytest

from trackside.engine.statechart.planned_rows import planned_row
from trackside.events import Transition


@pytest.mark.parametrize(
    ("trigger", "source", "destination", "allowed"),
    [
        ("after_pred", "fit.batch.forward", "fit.batch.loss", True),
        ("begin_step", "fit.batch.loss", "fit.batch.step.run", True),
        ("after_batch", "fit.batch.loss", "fit.fetch", True),
        ("after_fit", "fit.ready", "completed", True),
        ("leave", "fit.batch.loss", "fit.fetch", False),
        ("after_batch", "fit.batch.loss", "completed", False),
        ("after_fit", "fit.batch.loss", "completed", False),
        ("after_batch", "fit.epoch.batch.loss", "fit.ready", False),
        ("after_cancel_batch", "fit.batch.loss", "fit.batch.cancelled", False),
        ("after_error", "fit.batch.loss", "fit.failing", False),
    ],
)
def test_an_activity_may_close_the_innermost_scope_only_and_only_by_its_after_signal(
    trigger, source, destination, allowed
):
    row = planned_row(Transition(trigger, source, destination), source)
    assert row.may_be_returned is allowed
