"""Which module may import which, and how large files and functions may be."""

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("engine", "events", "handlers", "views")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
INITS = [path for path in FILES if path.name == "__init__.py"]
WINGS = [path.parent for path in INITS if path.parent.parent != ROOT]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)

MAY_IMPORT = {
    "events": {"events", "blinker"},
    "engine": {"engine", "events", "safetensors", "torch", "transitions"},
    "handlers": {"handlers", "events"},
    "views": {*PACKAGES, "trackside"},
}
MAY_IMPORT_ANY_LIBRARY = {"handlers", "views"}
FOR_TYPING_ONLY = {"events": {"torch"}}


def name(path):
    return str(path.relative_to(ROOT))


def package_of(path):
    return path.relative_to(ROOT).parts[0]


def wing_of(path):
    """The wing of a file; empty for one that is directly in its package."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if len(parts) == 3 else ""


def is_for_typing(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def libraries(path):
    """(first part of the name, whether for typing only) of every absolute import."""
    tree = TREES[path]
    typing_only = {id(n) for node in ast.walk(tree) if is_for_typing(node) for n in ast.walk(node)}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        yield from ((found.partition(".")[0], id(node) in typing_only) for found in names)


def modules(path):
    """The files of this project that a file imports, at any depth, for typing or not."""
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for alias in node.names:
                yield from _file(folder / alias.name) or _file(folder) or ()


def _file(path):
    if path.with_suffix(".py").is_file():
        return [path.with_suffix(".py")]
    if path == ROOT:  # the front door
        return [ROOT / "trackside" / "__init__.py"]
    return [path / "__init__.py"] if (path / "__init__.py").is_file() else None


def allowed_wings(wing):
    """The wings of its package that the docstring of a wing allows it to import."""
    doc = ast.get_docstring(TREES[wing / "__init__.py"]) or ""
    arrows = re.search(r"^May import: ([^.]+)\.$", doc, re.MULTILINE)
    assert arrows, f"{name(wing)}/__init__.py does not say which wings it may import"
    if arrows[1].startswith("nothing in "):
        return set()
    return {wing.strip() for wing in arrows[1].split(",")}


def test_a_file_imports_only_the_libraries_that_its_package_may():
    for path in FILES:
        package = package_of(path)
        for library, for_typing in libraries(path):
            allowed = MAY_IMPORT[package] | (
                FOR_TYPING_ONLY.get(package, set()) if for_typing else set()
            )
            any_other = package in MAY_IMPORT_ANY_LIBRARY and library != "transitions"
            known = library in allowed or library in sys.stdlib_module_names
            assert known or any_other, f"{name(path)} imports {library}"


def test_a_file_imports_only_the_packages_that_its_own_may():
    for path in FILES:
        for module in modules(path):
            assert package_of(module) in MAY_IMPORT[package_of(path)], (
                f"{name(path)}: {name(module)}"
            )


def test_a_file_imports_its_own_project_relatively():
    for path in FILES:
        assert "trackside" not in {library for library, _ in libraries(path)}, name(path)


def test_a_wing_imports_only_the_wings_that_its_docstring_allows():
    for path in FILES:
        if not wing_of(path):
            continue
        for module in modules(path):
            same = package_of(module) == package_of(path) and wing_of(module) != wing_of(path)
            if same and wing_of(module):
                allowed = allowed_wings(path.parent)
                assert wing_of(module) in allowed, f"{name(path)} imports {name(module)}"


def test_the_docstring_of_a_wing_allows_no_wing_that_nobody_imports():
    for wing in WINGS:
        used = {
            wing_of(module)
            for path in FILES
            if path.parent == wing
            for module in modules(path)
            if package_of(module) == package_of(path)
        }
        assert allowed_wings(wing) <= used, name(wing)


def test_no_modules_import_each_other_in_a_circle_for_typing_neither():
    graph = {
        name(path): {name(module) for module in modules(path)} - {name(path)} for path in FILES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" → ".join(reversed(error.args[1]))) from None


def test_folders_are_two_levels_deep_at_most():
    assert all(len(path.relative_to(ROOT).parts) <= 3 for path in FILES)


def test_every_folder_of_modules_has_an_init():
    assert {path.parent for path in INITS} == {path.parent for path in FILES}


def test_every_folder_of_modules_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {".".join(("trackside", *path.parent.relative_to(ROOT).parts)) for path in INITS}
    assert {*listed} == {"trackside", *folders}


def test_no_file_name_is_used_twice():
    names = [path.name for path in FILES if path.name != "__init__.py"]
    assert [twice for twice in sorted(set(names)) if names.count(twice) > 1] == []


def test_the_init_of_a_wing_is_a_docstring():
    for wing in WINGS:
        assert len(TREES[wing / "__init__.py"].body) == 1, name(wing)


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    ).stdout


def test_the_signals_are_imported_without_torch():
    assert run("import sys, trackside.events; print('torch' in sys.modules)") == "False\n"


def test_a_trainer_is_imported_without_what_a_plain_fit_does_not_use():
    code = (
        "import sys; from trackside import Trainer; "
        "unused = ('engine.diagram', 'engine.layout', 'rehearsal', 'engine.checkpoint', "
        "'engine.summary', 'background_run', 'safetensors', 'transitions'); "
        "print([m for m in sys.modules if any(name in m for name in unused)])"
    )
    assert run(code) == "[]\n"


def test_a_file_has_at_most_300_lines():
    for path in FILES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, name(path)


def body_lines(function):
    """Lines of a function after its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_functions_are_short():
    sizes = [
        body_lines(node)
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, FUNCTION)
    ]
    assert statistics.median(sizes) <= 8
    assert statistics.quantiles(sizes, n=10)[-1] < 30
