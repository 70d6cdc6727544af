"""All models, optimizers and loss modules of a run, be it one of each or several by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from ..events import TrainState
from .torch_internals import COMPILED, own_parameters

T = TypeVar("T")
Modules = list[tuple[str, str, nn.Module]]
"""Every module of a run: the prefix of its root, see `run_modules`, its name in there, itself."""


def whole_model(state: TrainState) -> nn.Module:
    """The model; of a trainer with named models a module that has each under its name."""
    return nn.ModuleDict(state.models) if state.models else state.model


def all_optimizers(state: TrainState) -> dict[str, Optimizer]:
    """Optimizers by name; the only one of a trainer without names is called \"\"."""
    if state.optimizers:
        return state.optimizers
    return {} if state.optimizer is None else {"": state.optimizer}


def loss_modules(state: TrainState) -> dict[str, nn.Module]:
    """The loss functions that are modules, by name; the only one is called \"\"."""
    if not state.loss_fns:
        return {"": state.loss_fn} if isinstance(state.loss_fn, nn.Module) else {}
    return {name: fn for name, fn in state.loss_fns.items() if isinstance(fn, nn.Module)}


def run_modules(state: TrainState) -> dict[str, nn.Module]:
    """The whole model and the loss modules, by what the names of their parts begin with."""
    losses = loss_modules(state).items()
    prefixed = {f"loss_fn.{name}." if name else "loss_fn.": module for name, module in losses}
    return {"": whole_model(state), **prefixed}


def named_modules(state: TrainState) -> Modules:
    """Every module of the models and loss modules, each root followed by its parts."""
    return [
        (prefix, name, part)
        for prefix, module in run_modules(state).items()
        for name, part in module.named_modules()
    ]


def module_parameters(modules: Modules) -> dict[str, Tensor]:
    """The parameters of the modules of a run, as torch's `named_parameters` names them.

    That walks through all modules once more, and takes three times as long.
    """
    named: dict[str, Tensor] = {}
    seen: set[int] = set()
    for prefix, name, part in modules:
        if not name:  # the root of the next model or loss module
            seen = set()
        path = prefix + plain_name(f"{name}." if name else "")
        for own, parameter in own_parameters(part).items():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                named[path + own] = parameter
    return named


def plain_names(prefix: str, items: Iterable[tuple[str, T]]) -> dict[str, T]:
    """`items` by their names as in a model that is not compiled, after `prefix`.

    So a checkpoint of a compiled model fits one that is not compiled, and the reverse.
    """
    return {prefix + plain_name(name): item for name, item in items}


def plain_name(name: str) -> str:
    """The name of a parameter or module without what `torch.compile` has added."""
    if COMPILED not in name:
        return name
    return ".".join(part for part in name.split(".") if part != COMPILED)
