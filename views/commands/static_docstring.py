"""What the source of an object says, read without importing its module: that would run code."""

from __future__ import annotations

import ast
import sys
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name

_Documented = (ast.ClassDef, ast.FunctionDef)


def summary(target: str) -> str:
    """First docstring line of the class or function `module:name`; empty where it is not seen.

    A name that a package re-exports from a module of its own is followed there.
    """
    try:
        return _summary(target, hops=8)
    except Exception:  # a stranger's installation, broken in a way of its own, is still listed
        return ""


def _summary(target: str, hops: int) -> str:
    module, _, name = target.partition(":")
    spec = _spec(module)
    if spec is None or not hops:
        return ""
    for node in ast.parse(_source(spec)).body:
        if isinstance(node, _Documented) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
        if isinstance(node, ast.ImportFrom) and (original := _imported(node, name)):
            origin = resolve_name("." * node.level + (node.module or ""), spec.parent)
            return _summary(f"{origin}:{original}", hops - 1)
    return ""


def _imported(node: ast.ImportFrom, name: str) -> str | None:
    """What is called `name` after an import, as the module that it comes from calls it."""
    return next((a.name for a in node.names if name == (a.asname or a.name)), None)


def _spec(module: str) -> ModuleSpec | None:
    """As `importlib.util.find_spec`, which would import the packages that the module is in."""
    parent, _, _ = module.rpartition(".")
    path = None
    if parent:
        package = _spec(parent)
        if package is None or package.submodule_search_locations is None:
            return None
        path = list(package.submodule_search_locations)
    specs = (finder.find_spec(module, path, None) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)


def _source(spec: ModuleSpec) -> str:
    assert isinstance(spec.loader, InspectLoader)
    return spec.loader.get_source(spec.name) or ""
