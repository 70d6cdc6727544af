"""From `module:factory`, or `path/to/file.py:factory`, to the function in it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ...events.handler_discovery import did_you_mean
from ..output.usage_error import UsageError


def find_factory(target: str) -> Callable[..., Any]:
    """Import the module that `target` names, and give the factory in it.

    Raises:
        UsageError: `target` names none. What the module itself raises is left as it is.
    """
    where, _, name = target.rpartition(":")
    if not (where and name):
        raise UsageError(
            f"cannot read {target!r}; expected module:factory, or path/to/file.py:factory"
        )
    module = _load_file(Path(where)) if where.endswith(".py") else _load_module(where)
    if not hasattr(module, name):
        raise UsageError(f"there is no {name!r} in {where}{did_you_mean(name, vars(module))}")
    factory = getattr(module, name)
    if not callable(factory):
        raise UsageError(
            f"{target} is a {type(factory).__name__}; expected a function that returns a Job"
        )
    return factory  # type: ignore[no-any-return]


def _load_module(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there; one that it imports is not
        raise UsageError(
            f"there is no module {error.name!r}, neither in this directory nor installed"
        ) from None


def _load_file(path: Path) -> ModuleType:
    """As `python path` would: the file's own directory comes first among those searched."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    if _is_taken(path):
        raise UsageError(
            f"cannot import {path}: it would hide the module {path.stem!r}; rename the file"
        )
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_taken(path: Path) -> bool:
    """Whether another module has the name that the file will have."""
    if path.stem in sys.modules:
        return True
    spec = importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None
    if spec is None or spec.origin is None:
        return False
    return Path(spec.origin).resolve() != path.resolve()
