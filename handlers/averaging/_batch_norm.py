"""Statistics of batch-norm layers whose weights are not those that were trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...events import CancelBatchException, TrainerProtocol, TrainState


def update_batch_norm(trainer: TrainerProtocol, model: nn.Module) -> None:
    """Give the batch-norm layers of `model` the statistics of the training inputs.

    What `torch.optim.swa_utils.update_bn` does, for every kind of batch that a trainer takes, and
    for what handlers that say `transforms_batches` make of it. Without such a layer nothing is
    read; if the loader has no batch left, the statistics stay as they are.
    """
    norms = (module for module in model.modules() if isinstance(module, _BatchNorm))
    layers = [norm for norm in norms if norm.track_running_stats]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    kept = [{name: value.clone() for name, value in layer.named_buffers()} for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
    try:
        read = _forward_all(trainer, model)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    if not read:
        for layer, statistics in zip(layers, kept, strict=True):
            layer.load_state_dict(statistics, strict=False)


def _forward_all(trainer: TrainerProtocol, model: nn.Module) -> int:
    """Run `model` in train mode on the training data; how many examples there were."""
    state: TrainState = trainer.state
    assert state.train_loader is not None
    transforms = [h for h in trainer.handlers if getattr(h, "transforms_batches", False)]
    never_stepped = torch.optim.SGD(model.parameters())
    kind: Any = type(trainer)
    reader = kind(model, None, never_stepped, [*transforms, _ForwardOnly()], state.device)
    reader.fit(state.train_loader, batches_per_epoch=state.batches_per_epoch)
    samples: int = reader.state.samples
    return samples


class _ForwardOnly:
    """Ends each batch when the model has answered."""

    def wrap_forward(self, forward: Callable[[TrainState], str]) -> Callable[[TrainState], str]:
        return torch.no_grad()(forward)

    def after_pred(self, trainer: TrainerProtocol, state: TrainState) -> None:
        raise CancelBatchException("only the forward pass is wanted")
