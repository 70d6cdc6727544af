"""Find optimizers that handlers and activities use, and that no checkpoint has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from functools import partial
from inspect import isfunction, ismethod
from types import CodeType
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ...events import Publisher, TrainState

_NOT_SEARCHED = (nn.Module, Publisher, TrainState)
_MAX_LENGTH = 100


def unsaved_optimizers(
    holders: Mapping[str, Any], functions: Iterable[Callable[..., Any]], saved: Iterable[Optimizer]
) -> Iterator[str]:
    """Describe each optimizer that is not among those saved, once, with who uses it.

    Args:
        holders: objects by name: their attributes, and the variables that their methods use.
        functions: subscribed functions, activities and wraps: the variables that they use.
    """
    seen = {id(optimizer) for optimizer in saved}
    named = (*_of_holders(holders), *_of_functions(functions))
    for owner, name, found in named:
        for optimizer in _optimizers_in(found):
            if id(optimizer) not in seen:
                seen.add(id(optimizer))
                yield f"{name} ({type(optimizer).__name__}) of {owner}"


def _of_holders(holders: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for owner, holder in holders.items():
        for name, value in getattr(holder, "__dict__", {}).items():
            yield f"handler {owner}", name, value
        kinds = type(holder).__mro__
        for method in (m for kind in kinds for m in vars(kind).values() if isfunction(m)):
            for name, value in _variables(method):
                yield f"handler {owner}", name, value


def _of_functions(functions: Iterable[Callable[..., Any]]) -> Iterator[tuple[str, str, Any]]:
    for function in functions:
        owner = getattr(function, "__qualname__", type(function).__name__)
        for name, value in _variables(function):
            yield owner, name, value


def _variables(function: Any) -> Iterator[tuple[str, Any]]:
    """The variables outside of a function that it uses, by name."""
    if isinstance(function, partial):
        yield from ((str(number), value) for number, value in enumerate(function.args))
        yield from function.keywords.items()
        yield from _variables(function.func)
    elif ismethod(function):
        if not isinstance(function.__self__, _NOT_SEARCHED):
            yield from getattr(function.__self__, "__dict__", {}).items()
        yield from _variables(function.__func__)
    elif isfunction(function):
        known = function.__globals__
        used = {name for code in _codes(function.__code__) for name in code.co_names}
        yield from ((name, known[name]) for name in sorted(used & known.keys()))
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            with suppress(ValueError):  # a variable that has no value yet
                yield name, cell.cell_contents


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of the functions that it defines."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _optimizers_in(value: Any) -> Iterator[Optimizer]:
    """The value itself, or what it contains, if it is a small container."""
    if isinstance(value, Optimizer):
        yield value
    elif isinstance(value, (list, tuple, Set, Mapping)) and len(value) <= _MAX_LENGTH:
        parts = value.values() if isinstance(value, Mapping) else value
        yield from (part for part in parts if isinstance(part, Optimizer))
