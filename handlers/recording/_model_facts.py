"""What is trained, as facts of a recording: layers, memory, the groups of the optimizers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ...events import TrainState
from ...events.utils.byte_size import format_bytes
from ...events.utils.nested import leaves

_MOST_LAYERS = 48
_MOST_GROUPS = 16


def model_facts(state: TrainState) -> dict[str, Any]:
    """`model`, `memory` and `optimizer`, texts by name; of many layers the first.

    Reads no tensor's value.
    """
    models = state.models or ({} if state.model is None else {"": state.model})
    optimizers = state.optimizers or ({} if state.optimizer is None else {"": state.optimizer})
    return {
        "model": _model(models),
        "memory": _memory(models, optimizers),
        "optimizer": _groups(optimizers),
    }


def _memory(
    models: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> dict[str, str]:
    """What this process holds, or will, of each kind; the optimizers' state as it is now."""
    parameters = _parameters(models)
    sizes = {
        "weights": _bytes(parameters),
        "buffers": _bytes(buffer for model in models.values() for buffer in model.buffers()),
        "gradients": _bytes(p for p in parameters if p.requires_grad),
        "optimizer": _bytes(leaves([[*o.state.values()] for o in optimizers.values()], Tensor)),
    }
    return {name: format_bytes(size) for name, size in sizes.items()}


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Of a sharded tensor its part that is here; each tensor once."""
    unique = {id(tensor): tensor for tensor in tensors if not is_lazy(tensor)}
    local = (t.to_local() if hasattr(t, "to_local") else t for t in unique.values())
    return sum(tensor.nbytes for tensor in local)


def _parameters(models: Mapping[str, nn.Module]) -> list[nn.Parameter]:
    """Each once, without those that are not initialized."""
    unique = {id(p): p for model in models.values() for p in model.parameters() if not is_lazy(p)}
    return [*unique.values()]


def _model(models: Mapping[str, nn.Module]) -> dict[str, Any]:
    parameters = _parameters(models)
    classes = {name: type(model).__name__ for name, model in models.items()}
    return {
        "class": ", ".join(f"{name} {kind}".strip() for name, kind in classes.items()),
        "parameters": sum(prod(p.shape) for p in parameters),
        "trained": sum(prod(p.shape) for p in parameters if p.requires_grad),
        "layers": _layers(models),
    }


def _layers(models: Mapping[str, nn.Module]) -> dict[str, str]:
    """Modules with parameters of their own: `Linear: weight 8×5, bias 8`."""
    layers = {
        f"{model_name}.{name}".strip(".") or "itself": text
        for model_name, model in models.items()
        for name, module in model.named_modules()
        if (text := _layer(module))
    }
    more = len(layers) - _MOST_LAYERS
    first = dict([*layers.items()][:_MOST_LAYERS])
    return first if more <= 0 else {**first, "and more": f"{more} layers"}


def _layer(module: nn.Module) -> str:
    own = [f"{name} {_shape(p)}" for name, p in module.named_parameters(recurse=False)]
    return f"{type(module).__name__}: {', '.join(own)}" if own else ""


def _shape(parameter: nn.Parameter) -> str:
    return "lazy" if is_lazy(parameter) else "×".join(map(str, parameter.shape)) or "scalar"


def _groups(optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, str]:
    """`SGD: 4 tensors, lr 0.1, momentum 0.9`."""
    groups = {
        f"{name} {number}".strip(): f"{type(optimizer).__name__}: {_options(group)}"
        for name, optimizer in optimizers.items()
        for number, group in enumerate(optimizer.param_groups)
    }
    return dict([*groups.items()][:_MOST_GROUPS])


def _options(group: Mapping[str, Any]) -> str:
    plain = {
        name: value
        for name, value in group.items()
        if isinstance(value, (int, float, str, tuple)) and value is not False
    }
    options = [f"{name} {value}" for name, value in plain.items()]
    return ", ".join([f"{len(group['params'])} tensors", *options])
