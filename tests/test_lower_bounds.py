"""The lowest versions that pyproject.toml allows, as constraints."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "lower_bounds.py"
SPEC = importlib.util.spec_from_file_location("lower_bounds", SCRIPT)
lower_bounds = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(lower_bounds)

PROJECT = {
    "dependencies": ["torch>=2.10,<3", "blinker>=1.9"],
    "optional-dependencies": {"ray": ["ray[train]>=2.50", "blinker>=1.9"], "dev": ["pytest>=8"]},
}


def test_they_are_those_of_the_package_and_its_extras_without_the_developers_tools():
    required = lower_bounds.requirements(PROJECT)
    assert lower_bounds.constraints(required) == ["blinker==1.9", "ray==2.50", "torch==2.10"]


@pytest.mark.parametrize("requirement", ["torch", "torch<3", "torch==2.10", "torch>=2.10;x<1"])
def test_a_requirement_without_a_plain_lower_bound_is_refused(requirement):
    with pytest.raises(ValueError, match=r"expected NAME>=VERSION"):
        lower_bounds.constraints([requirement])


def test_every_requirement_in_pyproject_has_one():
    project = lower_bounds.tomllib.loads(lower_bounds.PYPROJECT.read_text())["project"]
    assert "torch" in {each.partition("==")[0] for each in constraints_of(project)}


def constraints_of(project):
    return lower_bounds.constraints(lower_bounds.requirements(project))
