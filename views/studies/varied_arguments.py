"""The arguments of `trackside ablate`: those of all fits, and the values of those that vary."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from ..jobs.factory_arguments import OWN, FactoryArguments, read_arguments
from ..jobs.named_job import words_of

_ABSENT = object()
Values = Mapping[str, Sequence[str]]


def typed_values(
    factory: Callable[..., Any], arguments: argparse.Namespace, vary: Values
) -> dict[str, list[Any]]:
    """Values of parameters, read as the arguments of `trackside fit`; `optimizer.lr` is a field.

    Numbers, True, False, None and text have their type; what has another one stays text.

    Raises:
        UsageError: there is no such parameter, or it does not take a value.
    """
    return {
        name: [_typed(factory, arguments, vary, name, text) for text in vary[name]] for name in vary
    }


def name_with_arguments(
    factory: Callable[..., Any], arguments: argparse.Namespace, vary: Values
) -> str:
    """The factory with all that makes its fits others than those without arguments.

    Raises:
        UsageError: an argument is wrong.
    """
    read = _read(factory, arguments, vary)
    words = [f"--{name} {json.dumps(value)}" for name, value in _fixed(read, vary)]
    words += [f"--handler {handler}" for handler in read.options.get("handler", ())]
    words += [f"--precision {name}" for name in [read.options.get("precision")] if name]
    return " ".join([arguments.factory, *words])


def _fixed(read: FactoryArguments, vary: Values) -> Iterator[tuple[str, Any]]:
    """The arguments that differ from their default, without those that vary."""
    effective = deepcopy(read.effective)
    for path in vary:
        *groups, last = _path(effective, path)
        group = effective
        for name in groups:
            group = group.get(name, {})
        group.pop(last, None)
    own = effective.pop(OWN, {})
    yield from ((name, effective[name]) for name in read.given if effective.get(name, {}) != {})
    yield from ((f"{OWN}.{name}", own[name]) for name in read.given if name in own)


def _typed(
    factory: Callable[..., Any],
    arguments: argparse.Namespace,
    vary: Values,
    name: str,
    text: str,
) -> Any:
    value: Any = _read(factory, arguments, {**vary, name: [text]}).effective
    for part in _path(value, name):
        value = value.get(part, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    is_plain = value is None or isinstance(value, (bool, int, float, str))
    return value if is_plain else text


def _path(effective: Mapping[str, Any], name: str) -> list[str]:
    path = name.split(".")
    return [OWN, *path] if path[0] in effective.get(OWN, {}) else path


def _read(
    factory: Callable[..., Any], arguments: argparse.Namespace, vary: Values
) -> FactoryArguments:
    """With the first value of each parameter that varies: it may have no default."""
    one = argparse.Namespace(**vars(arguments))
    one.more = [*arguments.more, *words_of({name: vary[name][0] for name in vary})]
    return read_arguments(factory, one)
