"""Batch-norm statistics for averaged weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ...events import CancelBatchException, TrainerProtocol, TrainState
from .._torch_internals import BatchNorm


def update_batch_norm(trainer: TrainerProtocol, model: nn.Module) -> None:
    """Compute the statistics of the batch-norm layers of `model` on the training inputs.

    Like `torch.optim.swa_utils.update_bn`, but for every kind of batch that a trainer accepts, and
    with the handlers that declare `transforms_batches`. Without a batch-norm layer nothing is read;
    if the loader has no batch left, the statistics stay unchanged.
    """
    norms = (module for module in model.modules() if isinstance(module, BatchNorm))
    layers = [norm for norm in norms if norm.track_running_stats]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    before = [{name: value.clone() for name, value in layer.named_buffers()} for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
    try:
        samples = _forward_all(trainer, model)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    if not samples:
        for layer, statistics in zip(layers, before, strict=True):
            layer.load_state_dict(statistics, strict=False)


def _forward_all(trainer: TrainerProtocol, model: nn.Module) -> int:
    """Run `model` in train mode on the training data; return the number of examples."""
    state: TrainState = trainer.state
    assert state.train_loader is not None
    transforms = [h for h in trainer.handlers if getattr(h, "transforms_batches", False)]
    unused_optimizer = torch.optim.SGD(model.parameters())
    make_trainer: Any = type(trainer)
    second = make_trainer(
        model, None, unused_optimizer, [*transforms, _ForwardOnly()], state.device
    )
    second.fit(state.train_loader, batches_per_epoch=state.batches_per_epoch)
    samples: int = second.state.samples
    return samples


class _ForwardOnly:
    """Cancels each batch after the forward pass."""

    def wrap_forward(self, forward: Callable[[TrainState], str]) -> Callable[[TrainState], str]:
        return torch.no_grad()(forward)

    def after_pred(self, trainer: TrainerProtocol, state: TrainState) -> None:
        raise CancelBatchException("only the forward pass is needed")
