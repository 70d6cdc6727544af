"""Batch-norm statistics for averaged weights."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ...events import TrainerProtocol, TrainState
from ...events.utils.exact_context import exact_context
from .._named_target import run_modules
from .._ranks import sum_over_ranks
from .._torch_internals import BatchNorm
from ._averaged_model import copy_tensors
from ._batch_adapters import BatchAdapters


def trained_norms(state: TrainState, model: nn.Module) -> list[BatchNorm]:
    """The batch-norm layers of `model` whose statistics training updates."""
    kept = {id(module) for module in state.kept_in_eval}
    norms = [module for module in model.modules() if isinstance(module, BatchNorm)]
    return [norm for norm in norms if norm.track_running_stats and id(norm) not in kept]


def update_batch_norm(
    trainer: TrainerProtocol, model: nn.Module, adapters: BatchAdapters, of: str | None
) -> None:
    """Compute the batch-norm statistics of the trainer's model on the training inputs.

    Like `torch.optim.swa_utils.update_bn`, but each batch goes through what changes it in training,
    and the model runs as in training. All other buffers are kept. If the loader has no batch left,
    the statistics stay unchanged; if an error is raised, too, on any rank. Several ranks forward
    their shares, and average the statistics.
    """
    layers = trained_norms(trainer.state, model)
    statistics = {id(buffer) for layer in layers for buffer in layer.buffers()}
    buffers = [b for module in run_modules(trainer.state) for b in module.buffers()]
    others = [buffer for buffer in buffers if id(buffer) not in statistics]
    samples, failures = 0, 1
    with _kept(others), _over_all_batches(layers):
        before = [buffer.clone() for layer in layers for buffer in layer.buffers()]
        for layer in layers:
            layer.reset_running_stats()
        try:
            around_batch = functools.partial(adapters.open_batch, trainer)
            samples = trainer.forward_training_data(around_batch, of)
            failures = 0
        finally:
            if trainer.state.world_size > 1:
                samples, failures = _average_over_ranks(layers, samples, failures)
            if failures or not samples:
                copy_tensors([b for layer in layers for b in layer.buffers()], before)


def _average_over_ranks(layers: list[BatchNorm], samples: int, failures: int) -> tuple[int, int]:
    """Let the statistics be means over the batches of all ranks, which call it together.

    Returns:
        The number of examples, and of failures, of all ranks.
    """
    for layer in layers:
        assert layer.num_batches_tracked is not None  # see `trained_norms`
        batches = layer.num_batches_tracked.float()
        everywhere = sum_over_ranks(batches.clone(), "batches of batch norm")
        for statistic in (layer.running_mean, layer.running_var):
            assert statistic is not None
            total = sum_over_ranks(statistic * batches, "statistics of batch norm")
            statistic.copy_(total / everywhere.clamp(min=1))
    examples, failed = sum_over_ranks(
        torch.tensor([samples, failures]), "ends of the pass for batch norm"
    ).tolist()
    return examples, failed


@exact_context
def _over_all_batches(layers: list[BatchNorm]) -> Iterator[None]:
    """Let the statistics be means over all batches."""
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = None
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


@exact_context
def _kept(buffers: list[Tensor]) -> Iterator[None]:
    """Restore the values of buffers, which a forward pass in train mode may change."""
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        copy_tensors(buffers, before)
