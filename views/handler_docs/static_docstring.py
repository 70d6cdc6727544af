"""Read the docstring of an object from its source, without importing, which would run code."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name

_Documented = (ast.ClassDef, ast.FunctionDef)


def summary(target: str) -> str:
    """First docstring line of the class or function `module:name`; empty if it is not found.

    A name that is imported from another module is looked up there.
    """
    try:
        return _summary(target, imports_left=8)
    except Exception:  # a handler is listed even if its package is broken
        return ""


def _summary(target: str, imports_left: int) -> str:
    module, _, name = target.partition(":")
    spec = _find_spec(module)
    if spec is None or not imports_left:
        return ""
    for node in _statements(ast.parse(_source(spec)).body):
        if isinstance(node, _Documented) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
        if isinstance(node, ast.ImportFrom) and (original := _original_name(node, name)):
            source = resolve_name("." * node.level + (node.module or ""), spec.parent)
            return _summary(f"{source}:{original}", imports_left - 1)
    return ""


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, with those of its `if TYPE_CHECKING:` blocks."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements(node.body)


def _original_name(node: ast.ImportFrom, name: str) -> str | None:
    """The name in the imported module of what this import binds to `name`."""
    return next((a.name for a in node.names if name == (a.asname or a.name)), None)


def _find_spec(module: str) -> ModuleSpec | None:
    """Like `importlib.util.find_spec`, but without importing the parent packages."""
    parent, _, _ = module.rpartition(".")
    path = _search_path(parent) if parent else None
    if parent and path is None:
        return None
    specs = (finder.find_spec(module, path, None) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)


def _search_path(package: str) -> list[str] | None:
    """Where the modules of a package are; one that is imported may have added folders."""
    if package in sys.modules:
        return list(sys.modules[package].__path__)
    spec = _find_spec(package)
    found = None if spec is None else spec.submodule_search_locations
    return None if found is None else list(found)


def _source(spec: ModuleSpec) -> str:
    assert isinstance(spec.loader, InspectLoader)
    return spec.loader.get_source(spec.name) or ""
