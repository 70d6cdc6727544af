"""The parameters of a run by name: the optimizer's state, and the gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...events import TrainState


def named_parameters(state: TrainState) -> dict[str, Tensor]:
    """The model's parameters, those of a loss that has some, and what else is stepped."""
    named: dict[str, Tensor] = dict(state.model.named_parameters())
    if isinstance(state.loss_fn, nn.Module):
        own = state.loss_fn.named_parameters()
        named.update((f"loss_fn.{name}", parameter) for name, parameter in own)
    known = {id(parameter) for parameter in named.values()}
    stepped = [] if state.optimizer is None else _stepped(state.optimizer)
    others = [parameter for parameter in stepped if id(parameter) not in known]
    return named | {f"parameter {number}": other for number, other in enumerate(others)}


def _names(state: TrainState) -> dict[int, str]:
    """Names by `id`; of several the first."""
    named = named_parameters(state)
    return {id(parameter): name for name, parameter in reversed(named.items())}


def optimizer_state(state: TrainState) -> dict[str, Any] | None:
    """`optimizer.state_dict()` with names in the place of numbers."""
    if state.optimizer is None:
        return None
    names = _names(state)
    order = [names[id(parameter)] for parameter in _stepped(state.optimizer)]
    packed = state.optimizer.state_dict()
    groups = packed.pop("param_groups")
    return {
        "class": type(state.optimizer).__name__,
        "state": {order[index]: kept for index, kept in packed.pop("state").items()},
        "param_groups": [{**g, "params": [order[i] for i in g["params"]]} for g in groups],
        **packed,
    }


def load_optimizer(state: TrainState, saved: dict[str, Any]) -> None:
    """Give the optimizer the state that has been saved; its groups stay the dicts that they are.

    Raises:
        ValueError: the parameters are in other groups.
    """
    optimizer = state.optimizer
    assert optimizer is not None
    names = _names(state)
    stepped = _stepped(optimizer)
    place = {names[id(parameter)]: index for index, parameter in enumerate(stepped)}
    before = optimizer.param_groups
    live = [[place[names[id(p)]] for p in group["params"]] for group in before]
    there = [sorted(place[name] for name in group["params"]) for group in saved["param_groups"]]
    if there != [sorted(group) for group in live]:
        raise ValueError(
            f"the parameters were in {len(there)} groups when the state of {saved['class']} was "
            f"saved, of {[*map(len, there)]} parameters; here they are in {len(live)}, of "
            f"{[*map(len, live)]}; a fit whose handlers split groups goes on by fit(resume=…)"
        )
    rest = {name: value for name, value in saved.items() if name != "class"}
    optimizer.load_state_dict(
        {
            **rest,
            "state": {place[name]: kept for name, kept in saved["state"].items()},
            "param_groups": [
                {**group, "params": order}
                for group, order in zip(saved["param_groups"], live, strict=True)
            ],
        }
    )
    for parameter, kept in optimizer.state.items():
        kept.update({key: _laid_out(value, parameter) for key, value in kept.items()})
    for group, loaded in zip(before, optimizer.param_groups, strict=True):
        _set_options(group, loaded)
    optimizer.param_groups = before  # handlers and captured graphs may hold them


def gradients(state: TrainState) -> dict[str, Tensor]:
    """Gradients that are there, as those of an accumulation that has not stepped yet."""
    found = named_parameters(state).items()
    return {name: parameter.grad for name, parameter in found if parameter.grad is not None}


def load_gradients(state: TrainState, saved: dict[str, Tensor]) -> None:
    """Set the gradients of all parameters; None where none was saved."""
    for name, parameter in named_parameters(state).items():
        gradient = saved.get(name)
        if gradient is not None:
            gradient = _laid_out(gradient.to(parameter.device, copy=True), parameter)
        parameter.grad = gradient


def _stepped(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _laid_out(value: Any, parameter: Tensor) -> Any:
    """`value` in the memory format of its parameter, if it has the same shape."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape or value.is_sparse:
        return value
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
