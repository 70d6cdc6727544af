"""The memory format that convolutions are fastest in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch

from ...events import TrainerProtocol, TrainState
from ...events.nested import map_nested
from .._stateful import Saved

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


class ChannelsLast(Saved):
    """Keeps the model, its optimizer and its inputs in the channels-last memory format.

    It is for convolutional networks: tensors of 4 dimensions `(B, C, H, W)`, or of 5
    `(B, C, D, H, W)`, are stored with the channels innermost. Shapes stay as they are, and values
    but for rounding. Detached, it leaves everything in the format in which it was.

    Signals: begin_batch
    Reads: xb
    Writes: xb; the memory format of parameters, buffers, gradients and the optimizer's state
    Cost: no sync; a copy of each batch of inputs that does not come in this format
    """

    def __init__(self) -> None:
        self._changed: list[torch.Tensor] = []

    def attached(self, trainer: TrainerProtocol) -> None:
        model = trainer.state.model
        of_model = chain(model.parameters(), model.buffers())
        self._changed = [t for t in of_model if channels_last(t) is not t]
        for tensor in self._with_their_state(trainer.state):
            tensor.data = channels_last(tensor.data)

    def detached(self, trainer: TrainerProtocol) -> None:
        for tensor in self._with_their_state(trainer.state):
            tensor.data = tensor.data.contiguous()
        self._changed = []

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        state.xb = map_nested(channels_last, state.xb, only=torch.Tensor)

    def _with_their_state(self, state: TrainState) -> Iterator[torch.Tensor]:
        """The tensors that are changed, their gradients, and what the optimizer keeps of them."""
        of_optimizer = {} if state.optimizer is None else state.optimizer.state
        for tensor in self._changed:
            kept = (tensor, tensor.grad, *of_optimizer.get(tensor, {}).values())
            yield from (t for t in kept if isinstance(t, torch.Tensor))


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` in that format; itself if it is so already, or is no image."""
    wanted = _FORMATS.get(tensor.dim())
    if wanted is None or tensor.is_contiguous(memory_format=wanted):
        return tensor
    return tensor.contiguous(memory_format=wanted)
