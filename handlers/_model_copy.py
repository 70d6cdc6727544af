"""Copies of a model that is in use."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..events.utils.tensor_copy import is_sparse
from ._shards import is_any_sharded
from ._torch_internals import sharding_hidden

_PARTS = ("_parameters", "_buffers", "_modules")


def copy_model(owner: str, model: nn.Module) -> nn.Module:
    """A deep copy of `model`, also if it keeps results of its last forward pass.

    `copy.deepcopy` refuses a tensor that autograd has computed, such as an activation that a module
    keeps, or the weight of the older `torch.nn.utils.weight_norm`. The copy has it detached. It
    also refuses the compressed sparse layouts. The copy of a model that is sharded has shards, and
    cannot be called.

    Args:
        owner: who copies it, for the message.

    Raises:
        TypeError: something in the model cannot be copied; the message says in which module.
    """
    computed: dict[int, Any] = {}
    for module in model.modules():
        for tensor in _tensors_in(vars(module)):
            if not tensor.is_leaf or _is_compressed(tensor):
                computed[id(tensor)] = tensor.detach().clone()
    try:
        with sharding_hidden(model) if is_any_sharded(model) else nullcontext():
            return copy.deepcopy(model, computed)
    except Exception as error:
        raise TypeError(
            f"{owner} cannot copy the {type(model).__name__}: {_where(model)}{error}; allowed: "
            "attributes that copy.deepcopy copies, or a __deepcopy__ of the module"
        ) from error


def has_lazy_parts(model: nn.Module) -> bool:
    """Whether a parameter or buffer has no shape before the first forward pass (`LazyLinear`)."""
    return any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers()))


def _tensors_in(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors_in(part)


def _is_compressed(tensor: torch.Tensor) -> bool:
    return is_sparse(tensor) and not tensor.is_sparse


def _where(model: nn.Module) -> str:
    """The attribute that cannot be copied; empty if each can by itself."""
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            try:
                copy.deepcopy(None if attribute in _PARTS or not _is_own(value) else value)
            except Exception:
                return f"{name or 'its'} attribute {attribute!r} is a {type(value).__name__}; "
    return ""


def _is_own(value: Any) -> bool:
    return not any(not tensor.is_leaf for tensor in _tensors_in(value))
