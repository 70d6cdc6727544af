"""Check and copy the content of a state dict: plain data, which is read without running code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .sharded_tensors import has_rows, whole

ALLOWED = (
    "tensors, str, int, float, bool, None, bytes, in dicts (with keys of str or int), lists, tuples"
)

_TENSOR_TYPES = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
_SCALAR_TYPES: tuple[type[Any], ...] = (str, int, float, bytes)
_IMMUTABLE_TYPES = {*_SCALAR_TYPES, bool, type(None)}


Where = str | tuple[Any, Any]
"""The name of a value; or the `Where` of its container, and its key in there."""


def to_plain_data(value: Any, where: Where) -> Any:
    """A copy of `value` with new containers, which do not change with those of the trainer.

    Tensors are the live ones, or detached and share their memory; save or copy them before
    training continues. Those of which every rank has some rows stay sharded.

    Raises:
        TypeError: `value` contains something other than data; the message names where.
    """
    kind = type(value)
    if kind in _IMMUTABLE_TYPES:
        return value
    if kind is torch.Tensor and not (value.requires_grad or value.is_meta or value.__dict__):
        return value  # with values, and neither a graph nor attributes, which would be saved
    if kind is dict:
        return _plain_dict(value, where)
    return _detached(value, where) if isinstance(value, torch.Tensor) else _plain(value, where)


def _plain_dict(value: Mapping[Any, Any], where: Where) -> dict[Any, Any]:
    return {
        key if type(key) is str else _key(key, where): (
            part if type(part) in _IMMUTABLE_TYPES else to_plain_data(part, (where, key))
        )
        for key, part in value.items()
    }


def _plain(value: Any, where: Where) -> Any:
    """`to_plain_data` of what is neither a tensor nor of one of the most frequent types."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a scalar of NumPy
        value = value.item()
    if type(value) in _IMMUTABLE_TYPES:
        return value
    for scalar_type in _SCALAR_TYPES:
        if isinstance(value, scalar_type):
            return _of_type(scalar_type, value)
    if isinstance(value, Mapping):
        return _plain_dict(value, where)
    if isinstance(value, (list, tuple)):
        if _IMMUTABLE_TYPES.issuperset(map(type, value)):  # fast path for long lists of numbers
            return tuple(value) if isinstance(value, tuple) else list(value)
        parts = [to_plain_data(part, (where, index)) for index, part in enumerate(value)]
        return tuple(parts) if isinstance(value, tuple) else parts
    raise TypeError(f"{_name(where)} is a {_type_name(value)}; allowed: {ALLOWED}")


def _of_type(kind: type[Any], value: Any) -> Any:
    """A number or text without its class, which would be saved: numpy's float64, an IntEnum."""
    return str.__str__(value) if kind is str else kind(value)  # str() names the member of an Enum


def _detached(tensor: torch.Tensor, where: Where) -> torch.Tensor:
    is_plain = type(tensor) in _TENSOR_TYPES
    if not is_plain and has_rows(tensor):
        return tensor.detach()
    tensor = tensor if is_plain else whole(tensor)
    if type(tensor) not in _TENSOR_TYPES:
        kind = _type_name(tensor)
        raise TypeError(f"{_name(where)} is a {kind}, a tensor subclass; allowed: {ALLOWED}")
    if tensor.is_meta:
        raise TypeError(f"{_name(where)} is a tensor on the meta device, which has no values")
    return tensor.detach()


def _name(where: Where) -> str:
    return where if isinstance(where, str) else f"{_name(where[0])}[{where[1]!r}]"


def _key(key: Any, where: Where) -> Any:
    if type(key) in (int, bool):
        return key
    for key_type in (str, int):
        if isinstance(key, key_type):
            return _of_type(key_type, key)
    kind = _type_name(key)
    raise TypeError(f"{_name(where)} has the key {key!r}, a {kind}; allowed: str or int")


def _type_name(value: Any) -> str:
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"
