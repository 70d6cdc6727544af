"""The channels-last memory format, in which convolutions are fastest."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import ClassVar

import torch

from ...events import TrainerProtocol, TrainState
from ...events.utils.nested import map_nested
from .._copying import LeftOut
from .._stateful import Stateful
from .._writes import Writes

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


class ChannelsLast(Stateful):
    """Keeps the model, its optimizer and its inputs in the channels-last memory format.

    For convolutional networks: tensors of 4 dimensions `(B, C, H, W)`, or of 5 `(B, C, D, H, W)`,
    are stored with the channels innermost. Shapes do not change, values only by rounding. Detaching
    restores the format that everything had before.

    Signals: begin_batch
    Reads: xb
    Writes: xb; the memory format of parameters, buffers, gradients and the optimizer's state
    Cost: no sync; a copy of each batch of inputs that does not come in this format
    Does not: change tensors with another number of dimensions, or targets
    """

    reads = ("xb",)
    writes: ClassVar[Writes] = {"begin_batch": ("xb",)}

    runs_after = ("BatchTransform", "CutMix", "MixUp")  # the last that changes xb lays it out

    left_out: ClassVar[LeftOut] = {"_changed": dict}

    def __init__(self) -> None:
        self._changed: dict[TrainerProtocol, list[torch.Tensor]] = {}

    def attached(self, trainer: TrainerProtocol) -> None:
        model = trainer.state.model
        model_tensors = chain(model.parameters(), model.buffers())
        self._changed[trainer] = [t for t in model_tensors if to_channels_last(t) is not t]
        for tensor in _with_related(self._changed[trainer], trainer.state):
            tensor.data = to_channels_last(tensor.data)

    def detached(self, trainer: TrainerProtocol) -> None:
        for tensor in _with_related(self._changed.pop(trainer), trainer.state):
            tensor.data = tensor.data.contiguous()

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        state.xb = map_nested(to_channels_last, state.xb, only=torch.Tensor)


def _with_related(changed: list[torch.Tensor], state: TrainState) -> Iterator[torch.Tensor]:
    """The tensors, their gradients, and their optimizer state."""
    optimizer_state = {} if state.optimizer is None else state.optimizer.state
    for tensor in changed:
        related = (tensor, tensor.grad, *optimizer_state.get(tensor, {}).values())
        yield from (t for t in related if isinstance(t, torch.Tensor))


def to_channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` in the format; `tensor` itself if it already is, or has other dimensions."""
    memory_format = _FORMATS.get(tensor.dim())
    if memory_format is None or tensor.is_contiguous(memory_format=memory_format):
        return tensor
    return tensor.contiguous(memory_format=memory_format)
