"""Print the lowest versions that trackside and its extras allow, as constraints for pip.

`make test-oldest` runs the tests with them. What only developers install is not among them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
OF_DEVELOPERS = {"dev", "docs", "release"}
BOUND = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)(?:,<[\w.]+)?")


def requirements(project: dict[str, dict[str, list[str]]]) -> Iterator[str]:
    """What users install: the requirements of trackside and of the extras that are for them."""
    yield from project["dependencies"]
    for extra, required in project["optional-dependencies"].items():
        if extra not in OF_DEVELOPERS:
            yield from required


def constraints(required: Iterable[str]) -> list[str]:
    """The lower bound of each requirement as a constraint, sorted.

    Raises:
        ValueError: a requirement has no lower bound.
    """
    found = set()
    for requirement in required:
        match = BOUND.fullmatch(requirement)
        if match is None:
            raise ValueError(
                f"pyproject.toml requires {requirement!r}: expected NAME>=VERSION, or "
                "NAME>=VERSION,<VERSION"
            )
        found.add(f"{match[1]}=={match[2]}")
    return sorted(found)


if __name__ == "__main__":
    print("\n".join(constraints(requirements(tomllib.loads(PYPROJECT.read_text())["project"]))))
