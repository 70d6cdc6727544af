"""torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...events import TrainerProtocol, TrainState
from .._stateful import Saved

Activity = Callable[[TrainState], str]


class Compile(Saved):
    """Runs the model through `torch.compile`, in training and outside of it.

    `state.model` stays the model that it was: whoever saves, averages or looks into it sees no
    wrapper. Compiled by inductor, dropout and the like draw other random numbers.

    Signals: nothing; wraps forward
    Reads: model
    Raises: ValueError at once for an option, or a value of it, that `torch.compile` refuses
    Cost: no sync; seconds to minutes for the first batches, and again for other shapes of input

    Args:
        options: what `torch.compile` takes beside the model: `backend`, `mode`, `dynamic`, ….
    """

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
        def compiled(state: TrainState) -> str:
            model = state.model
            state.model = self._of(model)
            try:
                return forward(state)
            finally:
                state.model = model

        return compiled

    def _of(self, model: torch.nn.Module) -> Any:
        if model is not self._model:
            self._model, self._compiled = model, torch.compile(model, **self.options)
        return self._compiled
