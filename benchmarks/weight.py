"""What `pip install` of each library brings beside torch: `python benchmarks/weight.py`.

Each library is installed into an environment that sees torch and what torch requires, and nothing
else. Megabytes are those of its packages on the disk, with the bytecode that pip makes; seconds are
the CPU time of pip with all wheels on the disk, without a download; the import is CPU time in a
process that has imported torch. Medians over rounds; the rounds of imports alternate.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import environments
import imports
import result_files

TORCH = environments.BASE[0]
WITH_STAND_IN = f"import sys; sys.path.append({str(environments.HERE)!r}); import peers.composer"


class Library(NamedTuple):
    """What is installed, and the import with which its users begin."""

    statement: str
    contender: str
    """The file in `peers/` that names its requirements; empty: this checkout."""
    extras: str = ""


LIBRARIES = {
    "trackside": Library("from trackside import Trainer", ""),
    "trackside[demo]": Library("from trackside import Trainer", "", "[demo]"),
    "trackside[demo,watch]": Library("from trackside import Trainer", "", "[demo,watch]"),
    "accelerate": Library("from accelerate import Accelerator", "accelerate"),
    "ignite": Library("from ignite.engine import Engine", "ignite"),
    "skorch": Library("from skorch import NeuralNet", "skorch"),
    "lightning": Library("from lightning.pytorch import Trainer", "lightning"),
    "transformers": Library("from transformers import Trainer", "transformers"),
    "keras": Library("import os; os.environ['KERAS_BACKEND'] = 'torch'; import keras", "keras"),
    "fastai": Library("from fastai.learner import Learner", "fastai"),
    "composer": Library(WITH_STAND_IN, "composer"),
}


def environment_of(name: str) -> Path:
    """The environment of a library, made once; of trackside anew."""
    base, place = environments.CACHE / "torch", environments.CACHE / f"weight-{name}"
    environments.make_environment(base, [("install", TORCH)])
    library = LIBRARIES[name]
    if library.contender:
        installs = environments.installs_of(library.contender)
    else:
        installs = [("install", f"{environments.PROJECT}{library.extras}")]
        (place / environments.NOTE).unlink(missing_ok=True)
    environments.make_environment(place, installs, sees=base)
    return place


def packages_in(place: Path) -> dict[str, str]:
    """The versions of the packages that were installed into an environment, without pip's own."""
    found = metadata.distributions(path=[str(environments.packages_of(place))])
    return {each.name: each.version for each in found if each.name not in ("pip", "setuptools")}


def megabytes(place: Path) -> float:
    """The size of the packages, without pip's own."""
    folders = [
        path
        for path in environments.packages_of(place).iterdir()
        if path.is_dir() and not path.name.startswith(("pip", "setuptools", "_distutils_hack"))
    ]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def install_seconds(place: Path, versions: dict[str, str], rounds: int) -> list[float]:
    """CPU seconds of pip for these packages, from wheels on the disk."""
    python = str(place / "bin" / "python")
    pip = [python, "-m", "pip", "-q", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory() as wheels:
        for name, version in versions.items():
            wanted = str(environments.PROJECT) if name == "trackside" else f"{name}=={version}"
            subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, wanted], check=True)
        all_of_them = [str(wheel) for wheel in sorted(Path(wheels).iterdir())]
        return [_seconds([*pip, "install", "--no-deps"], all_of_them) for _ in range(rounds)]


def _seconds(command: list[str], wheels: list[str]) -> float:
    with tempfile.TemporaryDirectory() as target:
        begun = _of_children()
        subprocess.run([*command, "--target", target, *wheels], check=True)
        return _of_children() - begun


def _of_children() -> float:
    """The CPU seconds of all processes that have been started and have ended."""
    used = os.times()
    return used.children_user + used.children_system


def measured(names: list[str], rounds: int) -> dict[str, Any]:
    """The figures of each library."""
    found: dict[str, Any] = {}
    for name in names:
        place = environment_of(name)
        versions = packages_in(place)
        found[name] = {
            "version": versions[_distribution(name)],
            "packages": len(versions),
            "megabytes": megabytes(place),
            "install_s": statistics.median(install_seconds(place, versions, rounds)),
        }
        print(f"{name}: {found[name]}", file=sys.stderr)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):  # the first one may compile sources
        for name in names:
            python = environments.CACHE / f"weight-{name}" / "bin" / "python"
            spent = imports.milliseconds(LIBRARIES[name].statement, str(python))
            taken[name] += [spent] if number else []
    return {n: {**row, "import_ms": statistics.median(taken[n])} for n, row in found.items()}


def _distribution(name: str) -> str:
    bare = name.partition("[")[0]
    return {"ignite": "pytorch-ignite", "composer": "mosaicml"}.get(bare, bare)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write results/weight.json")
    parser.add_argument("names", nargs="*", default=list(LIBRARIES), metavar="NAME")
    arguments = parser.parse_args()
    figures = measured(arguments.names, arguments.rounds)
    for name, row in figures.items():
        print(
            f"{name:22} {row['megabytes']:6.0f} MB {row['packages']:4} packages "
            f"{row['install_s']:6.1f} s {row['import_ms']:7.0f} ms"
        )
    if arguments.write:
        result_files.write("weight", {"torch": TORCH, "libraries": figures})


if __name__ == "__main__":
    main()
