"""Checks, and error messages, for a model, loss or optimizer that cannot be trained."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...events import TrainState
from ..named_parts import all_optimizers, run_modules


def check_model(model: Any) -> None:
    """Refuse anything that is not a module.

    Raises:
        TypeError: names the type of `model`.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model is a {type(model).__name__}; a torch.nn.Module is needed")


def check_trainable(state: TrainState) -> None:
    """Refuse a fit that could not make an optimizer step.

    Raises:
        TypeError: no optimizer, or something else in its place.
        ValueError: no parameter requires a gradient, the optimizer has none of the model's, or a
            learning rate is NaN or infinite, which torch accepts without a warning.
        RuntimeError: gradients are switched off around the fit.
    """
    optimizers = all_optimizers(state)
    if not optimizers:
        raise missing_optimizer(state)
    modules = run_modules(state).values()
    trainable = {id(p) for module in modules for p in module.parameters() if p.requires_grad}
    names = " and ".join(type(module).__name__ for module in modules)
    if not trainable:
        raise ValueError(f"cannot fit {names}: no parameter requires a gradient")
    for optimizer in optimizers.values():
        _check_optimizer(optimizer, trainable, names)
    if not torch.is_grad_enabled():
        raise RuntimeError("cannot fit inside torch.no_grad() or inference_mode(): no gradients")


def _check_optimizer(optimizer: Any, trainable: set[int], model: str) -> None:
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer is a {type(optimizer).__name__}; a torch.optim.Optimizer is needed"
        )
    if not any(id(p) in trainable for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            f"cannot fit {model}: the optimizer has none of its parameters; "
            "was the model copied or rebuilt after the optimizer was made?"
        )
    for number, group in enumerate(optimizer.param_groups):
        rate = group.get("lr")  # an optimizer without a rate has none
        if isinstance(rate, float) and not math.isfinite(rate):
            raise ValueError(
                f"cannot fit with lr={rate} in parameter group {number} of the optimizer; "
                "allowed: a finite number"
            )


def missing_optimizer(state: TrainState) -> TypeError:
    """The error for a fit without an optimizer."""
    return TypeError(
        f"fit needs an optimizer: Trainer({type(state.model).__name__}(…), loss_fn, optimizer)"
    )


def missing_output(state: TrainState) -> TypeError:
    """The error for a model that returned None."""
    return TypeError(
        f"{type(state.model).__name__}.forward returned None at epoch {state.epoch + 1}, batch "
        f"{state.batch_index + 1}; expected a tensor, or an output that carries `.loss`"
    )


def missing_loss(state: TrainState) -> TypeError:
    """The error for a loss that is None: no `.loss` in the output, or returned by the `loss_fn`."""
    if state.loss_fn is None:
        return TypeError(
            f"no loss_fn was given, and the {type(state.pred).__name__} that "
            f"{type(state.model).__name__} returned carries no `.loss`"
        )
    name = getattr(state.loss_fn, "__name__", type(state.loss_fn).__name__)
    return TypeError(f"loss_fn {name} returned None; expected a scalar tensor")


def explain_backward(state: TrainState, error: BaseException) -> None:
    """Raise a clearer error if the loss itself is the cause; otherwise torch's error is kept.

    Raises:
        TypeError: the loss is not a tensor.
        ValueError: the loss is not a scalar, or does not require a gradient.
    """
    loss = state.loss
    where = f"at epoch {state.epoch + 1}, batch {state.batch_index + 1}"
    if not isinstance(loss, torch.Tensor):
        raise TypeError(
            f"cannot differentiate the loss {where}: it is a {type(loss).__name__}; "
            "expected a scalar tensor"
        ) from error
    if loss.numel() != 1:
        raise ValueError(
            f"cannot differentiate the loss {where}: its shape is {tuple(loss.shape)}; expected a "
            "scalar; reduce it (`.mean()`), or set state.loss in an after_loss handler"
        ) from error
    if not loss.requires_grad:
        raise ValueError(
            f"cannot differentiate the loss {where}: it needs no gradient; it was detached, "
            "computed under no_grad, or depends on no parameter"
        ) from error
