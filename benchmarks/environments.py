"""An environment for each contender, made once and kept in `.peers/`, which git ignores.

torch and numpy lie in one base environment that all of them see through a `.pth` file: ten copies
of torch would measure the same and take ten gigabytes. Whatever else a peer needs, at the versions
that it asks for, is its own. Its torch is the one pinned here, whatever it asks for.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parent
CACHE = PROJECT / ".peers"
BASE = ("torch==2.13.0", "numpy==2.4.6")


class NotInstallableError(RuntimeError):
    """pip could not install a peer; the message is what it said."""


def contenders() -> list[str]:
    """Every file of `peers/`, in the order of their names."""
    return sorted(path.stem for path in (HERE / "peers").glob("[!_]*.py"))


def python_of(name: str) -> Path:
    """The interpreter of a contender's environment."""
    return CACHE / name / "bin" / "python"


def version(name: str) -> str:
    """The package that a contender is, as pip writes it."""
    if name == "by_hand":
        return BASE[0]
    if name == "trackside":
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
        return f"{name}=={project['version']}"
    wanted = _constants(name)
    return (*wanted.get("WITHOUT_DEPENDENCIES", ()), *wanted["REQUIRES"])[0]


def make(name: str) -> None:
    """Make the environment of a contender, unless it is there as its file asks for it.

    Raises:
        NotInstallableError: pip refused.
    """
    base, own = CACHE / "base", CACHE / name
    _make(base, [("install", *BASE)])
    wanted = _constants(name)
    _make(
        own,
        [
            ("install", *wanted.get("REQUIRES", ())),
            ("install", "--no-deps", *wanted.get("WITHOUT_DEPENDENCIES", ())),
        ],
        sees=base,
    )
    if name == "trackside":  # its source may have changed since
        _pip(own, "install", "--no-deps", "--force-reinstall", str(PROJECT))


def _constants(name: str) -> dict[str, tuple[str, ...]]:
    """The tuples of text in a contender's file, which is read and not run: it imports the peer."""
    found = {}
    for node in ast.parse((HERE / "peers" / f"{name}.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            for target in node.targets:
                found[ast.unparse(target)] = ast.literal_eval(node.value)
    return found


def _make(place: Path, installs: list[tuple[str, ...]], sees: Path | None = None) -> None:
    """A virtual environment; what was asked for is noted in it, and made again if that changes."""
    note = place / "asked.txt"
    asked = repr(installs)
    if note.exists() and note.read_text() == asked:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
    if sees is not None:
        (_packages(place) / "base.pth").write_text(f"{_packages(sees)}\n")
    for command, *rest in installs:
        if set(rest) - {"--no-deps"}:
            _pip(place, command, *rest)
    note.write_text(asked)


def _packages(place: Path) -> Path:
    return next(place.glob("lib/python*/site-packages"))


def _pip(place: Path, *arguments: str) -> None:
    constraints = CACHE / "constraints.txt"
    constraints.write_text("\n".join(BASE) + "\n")
    pip = [place / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-q"]
    done = subprocess.run(
        [*pip, *arguments],
        env={**os.environ, "PIP_CONSTRAINT": str(constraints)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line]
        raise NotInstallableError(" ".join(said) or done.stderr[-300:])
