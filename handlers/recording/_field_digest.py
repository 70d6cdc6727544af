"""The content of a field as JSON: as a digest, or in full."""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import torch

_LONGEST_TEXT = 200


def digest(value: Any) -> Any:
    """A plain value itself; of others 16 hexadecimal digits, which are those of equal contents.

    Tensors are equal if shape, type and all bytes are, wherever they are; a module or an optimizer
    is its `state_dict`; an object that is neither is the name of its class.
    """
    if (plain := _plain(value)) is not value or _is_plain(value):
        return plain
    feed = blake2b(digest_size=8)
    _add(feed, value)
    return feed.hexdigest()


def in_full(value: Any) -> Any:
    """`value` as JSON: a tensor is `{"dtype": "float32", "values": [...]}`."""
    if isinstance(value, torch.Tensor):
        data = value.detach().cpu()
        name = str(data.dtype).removeprefix("torch.")
        return {"dtype": name, "values": in_full(data.tolist())}
    if isinstance(value, Mapping):
        return {str(key): in_full(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [in_full(part) for part in value]
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    return _plain(value) if _is_plain(value) else digest(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT
    return value is None or type(value) in (bool, int, float)


def _plain(value: Any) -> Any:
    """`value`, with text in place of the floats that JSON does not support."""
    if type(value) is float and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def _add(feed: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        _add_tensor(feed, value.detach())
    elif isinstance(value, Mapping):
        for key, part in value.items():
            feed.update(f"\0k{key!r}".encode())
            _add(feed, part)
    elif isinstance(value, (list, tuple)):
        feed.update(f"\0s{len(value)}".encode())
        for part in value:
            _add(feed, part)
    elif _is_plain(value) or isinstance(value, (str, bytes, complex)):
        feed.update(f"\0v{value!r}".encode())
    elif callable(getattr(value, "state_dict", None)):
        _add(feed, value.state_dict())
    elif hasattr(value, "tobytes") and hasattr(value, "dtype"):  # an array or a number of NumPy
        feed.update(f"\0a{value.dtype}{getattr(value, 'shape', ())}".encode() + value.tobytes())
    else:
        feed.update(f"\0o{type(value).__module__}.{type(value).__qualname__}".encode())


def _add_tensor(feed: Any, tensor: torch.Tensor) -> None:
    if hasattr(tensor, "to_local"):  # sharded: what is here of it
        tensor = tensor.to_local()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    feed.update(f"\0t{tensor.dtype}{tuple(tensor.shape)}".encode())
    if tensor.device.type != "meta":
        data = tensor.cpu().contiguous().flatten()
        feed.update(data.resolve_conj().resolve_neg().view(torch.uint8).numpy().tobytes())
