"""Averaged weights: the model that holds them, and their way into the model in training."""

from __future__ import annotations

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
    copy_tensors(tensors(model, buffers), tensors(averaged.module, buffers))


def values(model: nn.Module) -> dict[str, Tensor]:
    """The parameters and all buffers by name, outside of autograd."""
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: tensor.detach() for name, tensor in named}


def load_values(model: nn.Module, saved: dict[str, Tensor]) -> None:
    """Give `model` the values that `values` gave."""
    for name, tensor in values(model).items():
        tensor.copy_(saved[name])


def copy_tensors(targets: list[Tensor], sources: list[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
