"""Clear the gradients of a step that was made, and whose wrap then raised."""

from __future__ import annotations

from ...events import TrainState
from ..closing.uninterrupted import complete
from ..statechart.compiled_table import Activity


def clear_if_used(step: Activity, clear: Activity) -> Activity:
    """`step` inside its wraps: if it raises after the optimizer's update, `clear` still runs.

    Otherwise the next backward pass would add to gradients that were applied already.

    Args:
        clear: clears the gradients of the same optimizer.
    """

    def step_or_clear(state: TrainState) -> str:
        made = state.step
        try:
            return step(state)
        except BaseException as error:
            if state.step != made and (raised := complete(lambda: clear(state))) is not None:
                raise raised from error
            raise

    return step_or_clear
