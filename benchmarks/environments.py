"""A virtual environment for each contender, created once in `.peers/`, which git ignores.

torch and numpy are in one base environment, which all others include through a `.pth` file: ten
copies of torch would need ten gigabytes. All other requirements of a peer are installed in its own
environment. Every peer runs with the torch pinned here, whatever version it requires.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import trackside

HERE = Path(__file__).parent
PROJECT = HERE.parent
CACHE = PROJECT / ".peers"
BASE = ("torch==2.13.0", "numpy==2.4.6", "pillow==13.0.0")
NOTE = "asked.txt"


class NotInstallableError(RuntimeError):
    """pip could not install a peer; the message is its error output."""


def contenders() -> list[str]:
    """The names of all files in `peers/`, sorted."""
    return sorted(path.stem for path in (HERE / "peers").glob("[!_]*.py"))


def python_of(name: str) -> Path:
    """The interpreter of a contender's environment."""
    return CACHE / name / "bin" / "python"


def version(name: str) -> str:
    """The requirement that installs a contender, in pip's syntax."""
    if name == "by_hand":
        return BASE[0]
    if name == "trackside":
        return f"{name}=={trackside.__version__}"
    wanted = _constants(name)
    return (*wanted.get("WITHOUT_DEPENDENCIES", ()), *wanted["REQUIRES"])[0]


def make(name: str) -> None:
    """Create the environment of a contender, unless it exists with the same requirements.

    Raises:
        NotInstallableError: pip failed.
    """
    base, own = CACHE / "base", CACHE / name
    make_environment(base, [("install", *BASE)])
    make_environment(own, installs_of(name), sees=base)
    if name == "trackside":  # its source may have changed
        _pip(own, "install", "--no-deps", "--force-reinstall", str(PROJECT))


def installs_of(name: str) -> list[tuple[str, ...]]:
    """The arguments of pip that install a contender, for one call after the other."""
    wanted = _constants(name)
    return [
        ("install", *wanted.get("REQUIRES", ())),
        ("install", "--no-deps", *wanted.get("WITHOUT_DEPENDENCIES", ())),
    ]


def installed(names: list[str]) -> tuple[list[str], dict[str, str]]:
    """Create the environments; return the contenders with one, and the errors of the others."""
    ready, refused = [], {}
    for name in names:
        try:
            make(name)
            ready.append(name)
        except NotInstallableError as why:
            refused[name] = str(why)
    return ready, refused


def _constants(name: str) -> dict[str, tuple[str, ...]]:
    """The constant tuples of a contender's file; parsed, because running it imports the peer."""
    found = {}
    for node in ast.parse((HERE / "peers" / f"{name}.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            for target in node.targets:
                found[ast.unparse(target)] = ast.literal_eval(node.value)
    return found


def make_environment(
    place: Path, installs: list[tuple[str, ...]], sees: Path | None = None
) -> None:
    """Create a virtual environment and note its requirements; recreate it when they change."""
    note = place / NOTE
    asked = repr(installs)
    if note.exists() and note.read_text() == asked:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
    if sees is not None:
        (packages_of(place) / "base.pth").write_text(f"{packages_of(sees)}\n")
    for command, *rest in installs:
        if set(rest) - {"--no-deps"}:
            _pip(place, command, *rest)
    note.write_text(asked)


def packages_of(place: Path) -> Path:
    """The folder into which pip installs."""
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
