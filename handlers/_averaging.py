"""Averaged weights: the model that holds them, and their way into the model in training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Final = Literal["averaged", "trained"]


def check_final(owner: str, final: Any) -> None:
    """Refuse what does not say which weights the model has after the fit."""
    if final not in get_args(Final):
        raise ValueError(f"{owner}(final={final!r}): allowed: 'averaged', 'trained'")


def average_of(model: nn.Module, **options: Any) -> AveragedModel:
    """A copy of `model` in eval mode, for its averaged weights."""
    plain = getattr(model, "_orig_mod", model)  # below torch.compile
    return AveragedModel(plain, **options).eval()


def tensors(module: nn.Module, buffers: bool) -> list[Tensor]:
    """The parameters, then the buffers if they are wanted, outside of autograd."""
    found = [*module.parameters(), *(module.buffers() if buffers else ())]
    return [tensor.detach() for tensor in found]


def copy_into(model: nn.Module, averaged: AveragedModel, buffers: bool) -> None:
    """Give `model` the averaged values; its tensors stay the ones that they are."""
    _copy(tensors(model, buffers), tensors(averaged.module, buffers))


@contextmanager
def averaged_in(model: nn.Module, averaged: AveragedModel, buffers: bool) -> Iterator[None]:
    """Let `model` have the averaged values for a while, and then its own again."""
    own = tensors(model, buffers)
    kept = [tensor.clone() for tensor in own]
    try:
        copy_into(model, averaged, buffers)
        yield
    finally:
        _copy(own, kept)


def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
