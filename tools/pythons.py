"""Use trackside with every Python that it supports: `make test-pythons`.

For each `python3.N` on PATH, in an environment of its own, `.venv-3.N`: the wheel is installed and
its sources compiled, with warnings as errors; it does what a newcomer does, outside the checkout;
the tests that are named run. At the end it says which Pythons passed, and which were not found.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
OF_TESTS = "httpx", "hypothesis", "psutil", "pytest", "pytest-xdist"
EXTRAS_OF_TESTS = "mlflow,opentelemetry,pictures,prometheus,tensorboard,wandb"
"""What the handlers need of which the tests make one of each; a newcomer does without."""
WARN = "-W", "error"


def supported(pyproject: str) -> list[str]:
    """The versions of Python in the classifiers, in their order."""
    classifiers = tomllib.loads(pyproject)["project"]["classifiers"]
    versions = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", c) for c in classifiers)
    return [version[1] for version in versions if version]


def interpreter(version: str) -> str | None:
    """The path of this Python; None if none is on PATH that answers with its version."""
    path = shutil.which(f"python{version}")
    if path is None:
        return None
    answer = subprocess.run([path, "-V"], capture_output=True, text=True, check=False)
    return path if answer.stdout.startswith(f"Python {version}.") else None


def commands(path: str, version: str, tests: list[str]) -> Iterator[list[str]]:
    """What is run with a Python, one after the other."""
    place = ROOT / f".venv-{version}"
    python = str(place / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    constraints = ["-c", str(ROOT / "constraints.txt")]
    yield [path, "-m", "venv", str(place)]
    yield [*pip, "install", "-q", *constraints, f"{ROOT}[demo,watch]"]
    yield [*pip, "install", "-q", "--no-deps", "--force-reinstall", str(ROOT)]  # its newest state
    yield [*pip, "check"]
    (installed,) = place.glob("lib/python*/site-packages/trackside")
    yield [python, *WARN, "-m", "compileall", "-q", "-f", str(installed)]
    yield [python, str(ROOT / "tests" / "first_ten_minutes.py"), "--environment", str(place)]
    if tests:
        yield [*pip, "install", "-q", *constraints, f"{ROOT}[{EXTRAS_OF_TESTS}]", *OF_TESTS]
        yield [python, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *tests]


def outcome(version: str, tests: list[str]) -> str:
    """Run all commands with a Python, up to the first that fails."""
    path = interpreter(version)
    if path is None:
        return "not found on PATH"
    for command in commands(path, version, tests):
        print("+", *command, flush=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
            return f"failed: {' '.join(command)}"
    return "passed"


def main(tests: list[str]) -> None:
    """Use every supported Python; exits with 1 if one failed, or none was found."""
    versions = supported((ROOT / "pyproject.toml").read_text())
    outcomes = {version: outcome(version, tests) for version in versions}
    for version, ended in outcomes.items():
        print(f"Python {version}: {ended}")
    if "passed" not in outcomes.values() or any(o.startswith("failed") for o in outcomes.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
