"""Import a factory by its target: `module:factory`, or `path/to/file.py:factory`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ...events.utils.similar_names import did_you_mean
from ..output.usage_error import UsageError


def import_factory(target: str) -> Callable[..., Any]:
    """Import the module of `target`, and return its factory.

    Raises:
        UsageError: `target` is not a target, the module or the factory does not exist, or it is
            not callable. An exception of the module itself is not caught.
    """
    source, _, name = target.rpartition(":")
    if not (source and name):
        raise UsageError(
            f"cannot read {target!r}; expected module:factory, or path/to/file.py:factory"
        )
    module = _load_file(Path(source)) if source.endswith(".py") else _load_module(source)
    if not hasattr(module, name):
        raise UsageError(f"cannot find {name!r} in {source}{did_you_mean(name, vars(module))}")
    factory = getattr(module, name)
    if not callable(factory):
        raise UsageError(
            f"{target} is a {type(factory).__name__}; expected a function that returns a Job"
        )
    return factory  # type: ignore[no-any-return]


def target_of(factory: Callable[..., Any]) -> str:
    """The target of a function: `module:factory`, or the file of a script and its factory.

    Raises:
        UsageError: another process cannot import it.
    """
    module, name = factory.__module__, getattr(factory, "__qualname__", "<object>")
    if not name.isidentifier():
        raise UsageError(
            f"cannot import {name} in another process; expected a top-level function of a module"
        )
    if module != "__main__":
        return f"{module}:{name}"
    file = getattr(sys.modules[module], "__file__", None)
    if file is None:
        raise UsageError(f"cannot import {name} in another process: it is not defined in a file")
    path = Path(file)
    is_below = path.is_absolute() and path.is_relative_to(Path.cwd())
    return f"{path.relative_to(Path.cwd()) if is_below else path}:{name}"


def _load_module(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module exists, but one that it imports does not
        raise UsageError(
            f"cannot find module {error.name!r}: it is neither in this directory nor installed"
        ) from None


def _load_file(path: Path) -> ModuleType:
    """Load a file as `python path` does: with its folder at the front of `sys.path`."""
    if not path.is_file():
        raise UsageError(f"cannot find file {path}")
    if _hides_module(path):
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


def _hides_module(path: Path) -> bool:
    """Whether a module of this name exists: the file would take its place."""
    if path.stem in sys.modules:
        return True
    spec = importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None
    if spec is None or spec.origin is None:
        return False
    return Path(spec.origin).resolve() != path.resolve()
