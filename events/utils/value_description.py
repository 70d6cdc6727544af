"""Describe a value in a message: its type, with its shape or its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .nested import SEQUENCES, is_dataclass_instance, is_named_tuple

_SHOWN = 4


def describe(value: Any) -> str:
    """The type of a value, with its shape or its parts: `dict of logits: Tensor (8, 10)`."""
    kind = type(value).__name__
    if value is None:
        return "None"
    if hasattr(value, "shape"):
        return f"{kind} {tuple(value.shape)}"
    named = _named_parts(value)
    if named is not None:
        return f"{kind} of {describe_named(named, ': ') or '0 ()'}"
    return (
        f"{kind} of {len(value)} ({describe_all(value)})" if isinstance(value, SEQUENCES) else kind
    )


def describe_all(values: Any) -> str:
    """The values of a list or tuple, without their container."""
    return _listed([describe(value) for value in values[: _SHOWN + 1]])


def describe_named(values: Mapping[Any, Any], separator: str) -> str:
    """The values of a mapping, each after its name and `separator`."""
    first = list(values.items())[: _SHOWN + 1]
    return _listed([f"{name}{separator}{describe(value)}" for name, value in first])


def _listed(texts: list[str]) -> str:
    return ", ".join(texts[:_SHOWN] + ["…"] * (len(texts) > _SHOWN))


def _named_parts(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, Mapping):
        return value
    if is_named_tuple(value):
        return dict(zip(value._fields, value, strict=True))
    if is_dataclass_instance(value):
        return {field.name: getattr(value, field.name, None) for field in fields(value)}
    return None
