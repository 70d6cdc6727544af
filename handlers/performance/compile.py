"""torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from ...events import TrainerProtocol, TrainState
from .._copying import LeftOut, nothing
from .._stateful import Stateful

Activity = Callable[[TrainState], str]


class Compile(Stateful):
    """Runs the model through `torch.compile`, in training, validation and prediction.

    `state.model` stays the original model: handlers that save, average or inspect it see no
    wrapper. Compiled by inductor, dropout and similar layers draw other random numbers.

    Signals: nothing; wraps forward
    Reads: model
    Raises: ValueError for an option that `torch.compile` refuses
    Cost: no sync; seconds to minutes for the first batches, and again for new input shapes
    Does not: compile the loss or the optimizer step

    Args:
        options: the other arguments of `torch.compile`: `backend`, `mode`, `dynamic`, ….
    """

    reads = ("model",)

    left_out: ClassVar[LeftOut] = {"_model": nothing, "_compiled": nothing}

    def __init__(self, **options: Any) -> None:
        try:
            torch.compile(torch.nn.Identity(), **options)
        except Exception as error:
            given = ", ".join(f"{name}={value!r}" for name, value in options.items())
            raise ValueError(f"Compile({given}): refused by torch.compile: {error}") from error
        self.options = options
        self._model: torch.nn.Module | None = None
        self._compiled: Any = None

    def detached(self, trainer: TrainerProtocol) -> None:
        self._model = self._compiled = None

    def wrap_forward(self, forward: Activity) -> Activity:
        def compiled_forward(state: TrainState) -> str:
            model = state.model
            state.model = self._compile(model)
            try:
                return forward(state)
            finally:
                state.model = model

        return compiled_forward

    def _compile(self, model: torch.nn.Module) -> Any:
        """Compile `model`, once."""
        if model is not self._model:
            self._model, self._compiled = model, torch.compile(model, **self.options)
        return self._compiled
