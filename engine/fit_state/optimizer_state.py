"""The state of the optimizer and the gradients, by parameter name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ...events import TrainState
from ..named_parts import all_optimizers, module_parameters, named_modules
from .sharded_tensors import StoredTensor, is_sharded, sharded_like


def named_parameters(state: TrainState) -> dict[str, Tensor]:
    """The parameters of the model, of a loss module, and others that the optimizer has."""
    return with_others(state, module_parameters(named_modules(state)))


def with_others(state: TrainState, named: dict[str, Tensor]) -> dict[str, Tensor]:
    """`module_parameters`, and others that the optimizer has."""
    known = {*map(id, named.values())}
    optimizers = all_optimizers(state).values()
    groups = [group["params"] for each in optimizers for group in each.param_groups]
    others = [each for group in groups for each in group if id(each) not in known]
    return named | {f"parameter {number}": other for number, other in enumerate(others)}


def _names_by_id(named: Mapping[str, Tensor]) -> dict[int, str]:
    """Parameter names by `id`; the first name of a parameter that has several."""
    return {id(parameter): name for name, parameter in reversed([*named.items()])}


def optimizer_states(
    optimizers: Mapping[str, Optimizer], named: Mapping[str, Tensor]
) -> dict[str, Any]:
    """The state of each optimizer, by its name.

    Args:
        optimizers: see `all_optimizers`.
        named: see `named_parameters`.
    """
    names_by_id = _names_by_id(named)
    return {
        name: _optimizer_state(optimizer, names_by_id) for name, optimizer in optimizers.items()
    }


def _optimizer_state(optimizer: Optimizer, names_by_id: Mapping[int, str]) -> dict[str, Any]:
    """`optimizer.state_dict()` with parameter names instead of indices."""
    names = [names_by_id[id(parameter)] for parameter in _optimized_parameters(optimizer)]
    by_index = optimizer.state_dict()
    groups = by_index.pop("param_groups")
    return {
        "class": type(optimizer).__name__,
        "state": {names[index]: kept for index, kept in by_index.pop("state").items()},
        "param_groups": [{**g, "params": [names[i] for i in g["params"]]} for g in groups],
        **by_index,
    }


def load_optimizers(state: TrainState, saved: dict[str, Any]) -> None:
    """Load what `optimizer_states` gave.

    Raises:
        ValueError: the parameters were in other groups when the state was saved.
    """
    for name, optimizer in all_optimizers(state).items():
        _load_optimizer(state, optimizer, saved[name])


def _load_optimizer(state: TrainState, optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Load a saved state into an optimizer; its parameter groups stay the same dict objects.

    Groups that a handler had added to the optimizer during the saved fit are added.

    Raises:
        ValueError: the parameters were in other groups when the state was saved.
    """
    parameters = named_parameters(state)
    own = _optimizer_state(optimizer, _names_by_id(parameters))["param_groups"]
    for group in added_groups(own, saved["param_groups"]):
        members = [parameters[name] for name in group["params"]]
        optimizer.add_param_group({**group, "params": members})
    names = _names_by_id(named_parameters(state))
    optimized = _optimized_parameters(optimizer)
    index_of = {names[id(parameter)]: index for index, parameter in enumerate(optimized)}
    groups = optimizer.param_groups
    own_groups = [[index_of[names[id(p)]] for p in group["params"]] for group in groups]
    saved_groups = [sorted(map(index_of.__getitem__, g["params"])) for g in saved["param_groups"]]
    if saved_groups != [sorted(group) for group in own_groups]:
        raise ValueError(
            f"the saved {saved['class']} has {len(saved_groups)} parameter groups, of "
            f"{[*map(len, saved_groups)]} parameters; this one has {len(own_groups)}, of "
            f"{[*map(len, own_groups)]}; if handlers split groups, use fit(resume=…)"
        )
    rest = {name: value for name, value in saved.items() if name != "class"}
    states = {
        index_of[name]: _loadable(parameters[name], kept) for name, kept in saved["state"].items()
    }
    optimizer.load_state_dict(
        {
            **rest,
            "state": states,
            "param_groups": [
                {**group, "params": indices}
                for group, indices in zip(saved["param_groups"], own_groups, strict=True)
            ],
        }
    )
    for parameter, kept in optimizer.state.items():
        kept.update({key: _with_layout_of(value, parameter) for key, value in kept.items()})
    for group, loaded in zip(groups, optimizer.param_groups, strict=True):
        _set_options(group, loaded)
    optimizer.param_groups = groups  # handlers and captured graphs may refer to these dicts


def _loadable(parameter: Tensor, kept: dict[str, Any]) -> dict[str, Any]:
    """A saved state of `parameter`; what was stored in shards is sharded as it is, or whole."""
    return {
        key: sharded_like(parameter, value) if isinstance(value, StoredTensor) else value
        for key, value in kept.items()
    }


def added_groups(
    own: Iterable[Mapping[str, Any]], saved: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The saved groups that have only parameters which are in none of the optimizer's own."""
    optimized = {name for group in own for name in group["params"]}
    return [group for group in saved if optimized.isdisjoint(group["params"])]


def gradients(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradients that are not None, such as accumulated ones before their step."""
    grads = ((name, parameter.grad) for name, parameter in named.items())
    return {name: gradient for name, gradient in grads if gradient is not None}


def load_gradients(state: TrainState, saved: dict[str, Tensor]) -> None:
    """Set the gradients of all parameters; None where none was saved."""
    for name, parameter in named_parameters(state).items():
        gradient = saved.get(name)
        if gradient is not None:
            if isinstance(gradient, StoredTensor):
                gradient = sharded_like(parameter, gradient)
            gradient = _with_layout_of(gradient.to(parameter.device, copy=True), parameter)
        parameter.grad = gradient


def _optimized_parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _with_layout_of(value: Any, parameter: Tensor) -> Any:
    """`value` in the memory format of its parameter, if both have the same shape."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape or value.is_sparse:
        return value
    if is_sharded(parameter):
        return sharded_like(parameter, value)
    if value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _set_options(group: dict[str, Any], loaded: dict[str, Any]) -> None:
    for name in group.keys() - loaded.keys():
        del group[name]
    for name, value in loaded.items():
        if name == "params":
            continue
        if isinstance(group.get(name), Tensor) and isinstance(value, Tensor):
            group[name].copy_(value)
        else:
            group[name] = value
