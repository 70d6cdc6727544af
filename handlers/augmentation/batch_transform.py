"""Any change of a batch, where the batch is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...events import TrainerProtocol, TrainState


class BatchTransform:
    """Changes each batch by a function, on the device, before the model sees it.

    Signals: begin_batch
    Reads: xb, yb, training
    Writes: xb, yb; `batch` stays as the loader gave it
    Raises: TypeError: the function gives something else than a pair
    Cost: no sync, but what the function costs

    Args:
        function: `function(xb, yb)` gives the new `(xb, yb)`; `yb` is None for a batch without
            targets.
        training_only: leave the batches of validation and prediction as they are.

    Raises:
        TypeError: `function` cannot be called.
    """

    transforms_batches = True  # SWA has it do so where it reads the training data once more

    def __init__(
        self, function: Callable[[Any, Any], tuple[Any, Any]], training_only: bool = True
    ) -> None:
        if not callable(function):
            raise TypeError(
                f"BatchTransform({function!r}): expected a function (xb, yb) -> (xb, yb)"
            )
        self.function = function
        self.training_only = training_only

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not state.training and self.training_only:
            return
        changed = self.function(state.xb, state.yb)
        if not isinstance(changed, (tuple, list)) or len(changed) != 2:
            name = getattr(self.function, "__name__", type(self.function).__name__)
            raise TypeError(
                f"BatchTransform: {name} gave {_described(changed)}; expected a pair (xb, yb)"
            )
        state.xb, state.yb = changed


def _described(value: Any) -> str:
    size = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
    return f"a {type(value).__name__}{size}"
