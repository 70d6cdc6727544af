"""The call that makes such an object, from its attributes: `EMA(decay=0.99)`."""

from __future__ import annotations

import reprlib
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from inspect import Parameter, signature
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from .hidden_secrets import HIDDEN, hidden_text, is_secret

_MISSING = object()
_PLAIN = (bool, type(None), float, complex, range, slice)
_MOST_KEYWORDS = 8


def constructor_call(made: object, parts: Iterable[str] = ()) -> str:
    """The constructor's arguments that differ from their defaults, as they are now.

    A parameter is read from the attribute of its name, or of its name after an underscore; one
    that is kept in neither is left out. Tensors and other large objects are shown as their types,
    secrets as `***`.

    Args:
        parts: names of attributes whose own attributes are arguments, too.

    Cost: no device sync.
    """
    of_parts = [vars(vars(made)[name]) for name in parts if name in vars(made)]
    kept = ChainMap(vars(made), *of_parts)
    return f"{type(made).__name__}({', '.join(_arguments(made, kept))})"


def _arguments(made: object, kept: Mapping[str, Any]) -> Iterator[str]:
    positional = True
    for name, parameter in signature(type(made)).parameters.items():
        value = kept.get(name, kept.get(f"_{name}", _MISSING))
        is_required = parameter.default is Parameter.empty
        if value is _MISSING:
            positional = False
        elif parameter.kind is Parameter.VAR_KEYWORD:
            yield from _keywords(value if isinstance(value, Mapping) else {})
        elif parameter.kind is Parameter.VAR_POSITIONAL:
            yield from map(_SHORT.repr, value if isinstance(value, (list, tuple)) else ())
        elif is_required and positional and parameter.kind is not Parameter.KEYWORD_ONLY:
            yield shown(name, value)
        elif is_required or not _is_equal(value, parameter.default):
            yield f"{name}={shown(name, value)}"


def _keywords(values: Mapping[str, Any]) -> Iterator[str]:
    for number, (name, value) in enumerate(values.items()):
        if number == _MOST_KEYWORDS:
            yield "…"
            return
        yield f"{name}={shown(name, value)}"


def shown(name: str, value: Any) -> str:
    """A value in a few words; hidden if `name` says that it is a secret."""
    return HIDDEN if is_secret(name) else _SHORT.repr(value)


def _is_equal(value: Any, default: Any) -> bool:
    if value is default:
        return True
    is_array = hasattr(value, "shape")  # compared element by element
    return type(value) is type(default) and not is_array and bool(value == default)


class _Short(reprlib.Repr):
    """Short texts of values: never the content of a tensor, which would wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = 80
        self.maxlist = self.maxtuple = self.maxset = 6

    def repr_str(self, x: str, level: int) -> str:
        return super().repr_str(hidden_text(x), level)

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        parts = [f"{self.repr1(k, 1)}: {shown(str(k), v)}" for k, v in list(x.items())[:6]]
        return f"{{{', '.join(parts + ['…'] * (len(x) > len(parts)))}}}"

    def repr_instance(self, x: Any, level: int) -> str:
        if isinstance(x, _PLAIN):
            return repr(x)
        if isinstance(x, PathLike):
            return self.repr_str(_from_here(str(fspath(x))), level)
        if type(x).__module__ == "torch" and not hasattr(x, "shape"):  # device, dtype
            return str(x)
        return str(getattr(x, "__qualname__", type(x).__qualname__))


def _from_here(path: str) -> str:
    """A path as it is written in the current folder, if it is in that."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path


_SHORT = _Short()
