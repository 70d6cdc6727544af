"""Parts of a TrainState by name: `xb`, `model.gradients`, `optimizer.lr`, `metrics.valid_loss`.

The first word is a field; after a dot comes a key of a dict, `weights` or `gradients` of a model,
`state` or an option of the parameter groups of an optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .state import TrainState
from .utils.similar_names import did_you_mean

LIVE = frozenset({"batch", "xb", "yb", "weight", "pred", "loss"})
"""The fields of the live batch; between two batches they are those of the last one, or empty."""


def check_part(name: Any, state: TrainState, tried: str) -> None:
    """Refuse a name whose first word is not a field of `state`.

    Raises:
        TypeError: it is not a str.
        ValueError: there is no such field; the message suggests the most similar one.
    """
    if not isinstance(name, str):
        raise TypeError(f"{tried}: {name!r} is a {type(name).__name__}; allowed: names, as str")
    known = [field.name for field in fields(state)]
    first = name.partition(".")[0]
    if first not in known:
        raise ValueError(
            f"{tried}: a {type(state).__name__} has no field {first!r}{did_you_mean(first, known)}"
        )


def part_of(state: TrainState, name: str) -> Any:
    """The live value of a part; None if it is not there."""
    first, _, part = name.partition(".")
    value = getattr(state, first)
    return value if not part or value is None else _inner_part(value, part)


def _inner_part(value: Any, part: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(part)
    if hasattr(value, "param_groups"):
        if part == "state":
            return value.state_dict()["state"]
        return [group.get(part) for group in value.param_groups]
    if part == "gradients":
        return {name: parameter.grad for name, parameter in value.named_parameters()}
    return value.state_dict() if part == "weights" else getattr(value, part, None)
