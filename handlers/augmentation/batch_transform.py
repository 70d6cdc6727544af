"""A function applied to each batch on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ...events import TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_no_class
from .._copying import Copyable
from .._writes import Writes


class BatchTransform(Copyable):
    """Applies a function to each batch, on the device, before the forward pass.

    Signals: begin_batch
    Reads: xb, yb, training
    Writes: xb, yb; `batch` is not changed
    Raises: TypeError: the function does not return a pair
    Cost: no sync; the cost of the function
    Does not: change `batch`, or run in the worker processes of a loader

    Args:
        function: `function(xb, yb)` returns the new `(xb, yb)`; `yb` is None for a batch without
            targets.
        training_only: do not change the batches of validation and prediction.

    Raises:
        TypeError: `function` is not callable.
    """

    reads = ("xb", "yb", "training")
    writes: ClassVar[Writes] = {"begin_batch": ("xb", "yb")}

    def __init__(
        self, function: Callable[[Any, Any], tuple[Any, Any]], training_only: bool = True
    ) -> None:
        check_no_class("BatchTransform", function)
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
                f"BatchTransform: {name} returned {_describe(changed)}; expected a pair (xb, yb)"
            )
        state.xb, state.yb = changed


def _describe(value: Any) -> str:
    size = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
    return f"a {type(value).__name__}{size}"
