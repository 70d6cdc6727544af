"""What a state dict may hold: data, and nothing that would have to run to be read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

ALLOWED = (
    "tensors, str, int, float, bool, None, bytes, in dicts (with keys of str or int), lists, tuples"
)

_TENSORS = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
_ATOMS: tuple[type[Any], ...] = (str, int, float, bytes)
_AS_THEY_ARE = {*_ATOMS, bool, type(None)}


def plain(value: Any, where: str) -> Any:
    """`value` with containers of its own, so that it does not change with those of the trainer.

    Tensors are the live ones, outside of autograd; save or copy them before training goes on.

    Raises:
        TypeError: `value` holds something else than data; `where` and the key name it.
    """
    if isinstance(value, torch.Tensor):
        return _detached(value, where)
    if value is None or isinstance(value, bool):
        return value
    for atom in _ATOMS:
        if isinstance(value, atom):
            return atom(value)  # numpy's float64 is a float, but is read as a class of numpy
    if isinstance(value, Mapping):
        return {_key(key, where): plain(part, f"{where}[{key!r}]") for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        if _AS_THEY_ARE.issuperset(map(type, value)):  # the hundreds of numbers of a generator
            return tuple(value) if isinstance(value, tuple) else list(value)
        parts = [plain(part, f"{where}[{index}]") for index, part in enumerate(value)]
        return tuple(parts) if isinstance(value, tuple) else parts
    raise TypeError(f"{where} is a {_kind(value)}; a state dict holds {ALLOWED}")


def _detached(tensor: torch.Tensor, where: str) -> torch.Tensor:
    if type(tensor) not in _TENSORS:
        raise TypeError(f"{where} is a {_kind(tensor)}, of its own kind; plain tensors are allowed")
    if tensor.is_meta:
        raise TypeError(f"{where} is a tensor on the meta device, which has no values")
    return tensor.detach()


def is_plain(value: Any) -> bool:
    """Whether `plain` would take it."""
    try:
        plain(value, "")
    except TypeError:
        return False
    return True


def _key(key: Any, where: str) -> Any:
    if isinstance(key, (str, int)):
        return key
    raise TypeError(f"{where} has the key {key!r}, a {_kind(key)}; a state dict has str or int")


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
