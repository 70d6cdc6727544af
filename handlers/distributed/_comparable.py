"""Values that can be sent to the other ranks and compared there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from inspect import Parameter, signature
from typing import Any

import torch
from torch import nn

NOT_COMPARED = object()
"""In place of a value that may differ from rank to rank, or cannot be sent."""

_MOST_VALUES = 16
_OWN = ("self", "seed")


def comparable(value: Any) -> Any:
    """`value` as plain data: numbers, texts, small tensors, and containers of those.

    Cost: a device sync for a tensor.
    """
    if type(value) is float and math.isnan(value):
        return "nan"  # else it differs from that of every other rank
    if value is None or type(value) in (bool, int, float, complex, str):
        return value
    if isinstance(value, torch.dtype):
        return str(value)
    if isinstance(value, torch.Tensor):
        is_small = value.numel() <= _MOST_VALUES and not value.is_meta
        return comparable(value.tolist()) if is_small else f"a tensor {tuple(value.shape)}"
    if type(value) in (list, tuple) and len(value) <= _MOST_VALUES:
        parts = [comparable(part) for part in value]
        return NOT_COMPARED if NOT_COMPARED in parts else parts
    return NOT_COMPARED


def comparable_items(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that can be compared."""
    found = {name: comparable(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not NOT_COMPARED}


def options_of(made: Any) -> dict[str, Any]:
    """What an object was made with, as far as it keeps that: not paths and seeds."""
    names = [p.name for p in signature(type(made)).parameters.values() if not _is_place(p)]
    return comparable_items({n: getattr(made, n) for n in names if hasattr(made, n)})


def _is_place(parameter: Parameter) -> bool:
    return parameter.name in _OWN or "Path" in str(parameter.annotation)


def options_of_modules(model: nn.Module) -> dict[str, str]:
    """How the modules of torch in a model were made, by name, such as the rate of a dropout."""
    return dict(_texts_of(model))


def _texts_of(model: nn.Module) -> Iterator[tuple[str, str]]:
    for name, module in model.named_modules():
        kind = type(module)
        text = module.extra_repr() if kind.__module__.startswith("torch.nn.") else ""
        yield name or "the model", f"{kind.__name__}({text})"
