"""The model that holds averaged weights, and copying its tensors."""

from __future__ import annotations

from typing import Any, Literal, get_args

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ...events.utils.tensor_copy import copy_values, expanded_dimensions, is_sparse
from .._model_copy import copy_model
from .._shards import shard_parameters, sharded_as
from .._torch_internals import COMPILED_PREFIX, module_buffers, uncompiled

FinalWeights = Literal["averaged", "trained"]


def check_final_weights(owner: str, final: Any) -> None:
    """Check the argument `final`: which weights the model has after the fit."""
    if final not in get_args(FinalWeights):
        raise ValueError(f"{owner}(final={final!r}): allowed: 'averaged', 'trained'")


def make_averaged_model(owner: str, model: nn.Module, **options: Any) -> AveragedModel:
    """Copy `model` for its averaged weights, in eval mode; raises as `copy_model`."""
    averaged = AveragedModel(nn.Identity(), **options)
    averaged.module = copied = copy_model(owner, uncompiled(model))
    for module in copied.modules():
        for name, buffer in module_buffers(module).items():
            if buffer is not None and expanded_dimensions(buffer):
                setattr(module, name, buffer.clone())  # a place in memory for each element
    return averaged.eval()


def follow_sharding(averaged: AveragedModel, model: nn.Module) -> None:
    """Shard the averaged weights as those of the model are in this fit."""
    shard_parameters(averaged.module, uncompiled(model))


def tensors(module: nn.Module, buffers: bool) -> list[Tensor]:
    """The parameters, then the buffers if `buffers` is true, detached."""
    attached = [*module.parameters(), *(module.buffers() if buffers else ())]
    return [tensor.detach() for tensor in attached]


def copy_into(model: nn.Module, averaged: AveragedModel, buffers: bool) -> None:
    """Copy the averaged values into the tensors of `model`."""
    copy_tensors(tensors(model, buffers), tensors(averaged.module, buffers))


def values(model: nn.Module) -> dict[str, Tensor]:
    """The parameters and all buffers by name as in a model that is not compiled, detached."""
    named = (*model.named_parameters(), *model.named_buffers())
    return {name.replace(COMPILED_PREFIX, ""): tensor.detach() for name, tensor in named}


def load_values(model: nn.Module, saved: dict[str, Tensor]) -> None:
    """Copy what `values` returned into the tensors of `model`."""
    for name, tensor in values(model).items():
        copy_values(tensor, sharded_as(tensor, saved[name]))


def can_be_averaged(tensor: Tensor) -> bool:
    """Whether a mean makes sense, and can be computed in place; else the values are copied."""
    averageable = tensor.is_floating_point() or tensor.is_complex()
    return averageable and not is_sparse(tensor)


def copy_tensors(targets: list[Tensor], sources: list[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        copy_values(target, source)
