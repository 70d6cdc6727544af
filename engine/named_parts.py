"""All models, optimizers and loss modules of a run, be it one of each or several by name."""

from __future__ import annotations

from torch import nn
from torch.optim import Optimizer

from ..events import TrainState


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
