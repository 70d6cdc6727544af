"""The loss of a batch whose examples have weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

from torch import Tensor, nn

from ...events import TrainState

Loss = Callable[..., Any]


def weighted_loss(state: TrainState) -> Any:
    """The mean of weight × loss of the example, as with `sample_weight` in Keras.

    A loss of torch, or another module or function with a `reduction`, gives the losses of the
    examples; "sum" then means their sum. Any other is called `loss_fn(pred, yb, weight)`.

    Raises:
        TypeError: the model computes the loss itself, or the weights are not a tensor.
        ValueError: the loss has no value for each example.
    """
    if state.loss_fn is None:
        raise TypeError(
            f"the batch has weights, and no loss_fn was given that could use them: "
            f"{type(state.model).__name__} computes the loss itself"
        )
    arguments = (state.pred,) if state.yb is None else (state.pred, state.yb)
    each, reduction = _unreduced(state.loss_fn)
    if each is None:
        return state.loss_fn(*arguments, state.weight)
    losses = _by_example(each(*arguments), state.weight, reduction)
    weighted = losses * state.weight
    return weighted.sum() if reduction == "sum" else weighted.mean()


def _unreduced(loss_fn: Loss) -> tuple[Loss | None, str]:
    """The loss without its reduction, and which that is; None where it has none."""
    if isinstance(loss_fn, nn.Module):
        reduction = getattr(loss_fn, "reduction", None)
        if not isinstance(reduction, str):
            return None, ""
        each = copy.copy(loss_fn)  # another trainer may be using the original
        each.reduction = "none"  # type: ignore[assignment]
        return each, reduction
    try:
        parameter = signature(loss_fn).parameters.get("reduction")
    except (TypeError, ValueError):
        parameter = None
    if parameter is None:
        return None, ""
    return partial(loss_fn, reduction="none"), str(parameter.default)


def _by_example(losses: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """The losses in the shape of the weights: the mean, or sum, over what else an example has."""
    if not isinstance(weight, Tensor):
        raise TypeError(f"the weight is a {type(weight).__name__}; expected a tensor (B,)")
    extra = losses.dim() - weight.dim()
    if extra < 0 or losses.shape[: weight.dim()] != weight.shape:
        raise ValueError(
            f"the weights have the shape {tuple(weight.shape)}, and the losses of the examples "
            f"{tuple(losses.shape)}; expected one weight for each example, (B,)"
        )
    if not extra:
        return losses
    values = losses.flatten(weight.dim())
    return values.mean(-1) if reduction == "mean" else values.sum(-1)
