"""Compare the state dicts of a trainer, part by part, with readable names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from hashlib import blake2b
from typing import Any

import torch

Path = tuple[str | int, ...]

_CONTAINERS = (Mapping, list, tuple, torch.Tensor)


def fingerprints(state: Mapping[str, Any]) -> dict[str, str]:
    """Fingerprint each part, bit for bit; the keys are names, `optimizer: exp_avg of 0.weight`."""
    return {_name(path): _fingerprint(value) for path, value in _parts(state)}


def first_difference(
    one: Mapping[str, str], other: Mapping[str, str], ignored: Collection[str] = ()
) -> str:
    """The name of the first part that differs between two `fingerprints`; empty if they are equal.

    A part is skipped if its name contains one of `ignored`.
    """
    for name in (*one, *other):
        is_ignored = any(part in name for part in ignored)
        if one.get(name) != other.get(name) and not is_ignored:
            return name
    return ""


def _parts(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _parts(part, (*path, key))
    elif isinstance(value, (list, tuple)) and any(isinstance(p, _CONTAINERS) for p in value):
        for index, part in enumerate(value):
            yield from _parts(part, (*path, index))
    else:
        yield path, value


def _name(path: Path) -> str:
    """`handler EMA: averaged of layer2.weight`, `model: layer2.weight`, `position: step`."""
    first, *rest = [str(part) for part in path]
    if first == "handlers" and rest:
        first, rest = f"handler {rest[0]}", rest[1:]
    if first == "optimizer" and rest[:1] == ["state"]:
        rest = [rest[2], rest[1]] if len(rest) > 2 else rest
    return f"{first}: {' of '.join([rest[0], '.'.join(rest[1:])]) if rest[1:] else ''.join(rest)}"


def _fingerprint(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return repr(value)
    data = value.detach().cpu().contiguous()
    digest = blake2b(data.flatten().view(torch.uint8).numpy().tobytes(), digest_size=16)
    return f"{tuple(data.shape)} {data.dtype} {digest.hexdigest()}"
