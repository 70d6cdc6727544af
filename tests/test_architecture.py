"""Who may import whom, and how large things may be: the table of the design, enforced."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("engine", "events", "handlers", "views")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
INITS = [path for path in FILES if path.name == "__init__.py"]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)

MAY_IMPORT = {
    "events": {"events", "blinker"},
    "engine": {"engine", "events", "safetensors", "torch", "transitions"},
    "handlers": {"handlers", "events"},
    "views": set(PACKAGES),
}
MAY_IMPORT_ANY_LIBRARY = {"handlers", "views"}
FOR_TYPING_ONLY = {"events": {"torch"}}


def named(path):
    return str(path.relative_to(ROOT))


def package_of(path):
    return path.relative_to(ROOT).parts[0]


def is_for_typing(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(path):
    """(what is imported, whether for typing only) for every import of a file, at any depth.

    Of this project's own the package: `..events.order` is `events`; of others the first name.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner) for node in ast.walk(tree) if is_for_typing(node) for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            yield imported_from(path, node), id(node) in typing_only


def imported_from(path, node):
    if node.level == 0:
        return node.module.partition(".")[0]
    parents = path.relative_to(ROOT).parts[:-1]
    return [*parents[: len(parents) - node.level + 1], *(node.module or "").split(".")][0]


def is_allowed(package, name, for_typing):
    allowed = MAY_IMPORT[package] | (FOR_TYPING_ONLY.get(package, set()) if for_typing else set())
    if name in allowed or name in sys.stdlib_module_names:
        return True
    return package in MAY_IMPORT_ANY_LIBRARY and name not in PACKAGES and name != "transitions"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_file_imports_only_what_its_package_may(path):
    package = package_of(path)
    assert [
        name
        for name, for_typing in imports(path)
        if name != "trackside" and not is_allowed(package, name, for_typing)
    ] == []


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_file_imports_its_own_project_relatively(path):
    assert "trackside" not in {name for name, _ in imports(path)}


@pytest.mark.parametrize("path", INITS, ids=named)
def test_an_init_only_re_exports(path):
    doc, *body = ast.parse(path.read_text(encoding="utf-8")).body
    *froms, last = body
    assert isinstance(doc, ast.Expr)
    assert all(isinstance(node, ast.ImportFrom) and node.level == 1 for node in froms)
    assert isinstance(last, ast.Assign)
    assert [ast.unparse(target) for target in last.targets] == ["__all__"]
    exported = ast.literal_eval(last.value)
    assert set(exported) == {alias.asname or alias.name for node in froms for alias in node.names}
    assert len(exported) == len(set(exported))


def test_every_package_has_an_init():
    assert {package_of(path) for path in INITS} == set(PACKAGES)


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )


def test_the_signals_are_imported_without_torch():
    assert run("import sys, trackside.events; print('torch' in sys.modules)").stdout == "False\n"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_file_has_at_most_300_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def body_lines(function):
    """Lines of a function after its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_functions_are_short():
    sizes = [
        body_lines(node)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, FUNCTION)
    ]
    assert statistics.median(sizes) <= 8
    assert statistics.quantiles(sizes, n=10)[-1] < 30
