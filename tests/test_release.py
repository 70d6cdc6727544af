"""A release stops at the first thing that is not as it should be."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "release.py"
SPEC = importlib.util.spec_from_file_location("release", SCRIPT)
release = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(release)

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2030-01-01\n\n- All.\n"


def git(root, *arguments):
    names = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", root, *names, *arguments], check=True, capture_output=True)


@pytest.fixture
def root(tmp_path):
    """A repository that is ready for version 0.2.0."""
    (tmp_path / "trackside").mkdir()
    (tmp_path / "trackside" / "__init__.py").write_text('__version__ = "0.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "All")
    return tmp_path


def test_nothing_stops_a_release_that_is_ready(root):
    assert list(release.obstacles("0.2.0", root)) == []


def test_a_version_that_the_package_does_not_have_is_refused(root):
    found = list(release.obstacles("0.3.0", root))
    assert found == [
        "trackside/__init__.py has another version than 0.3.0",
        "CHANGELOG.md has no section `## [0.3.0] - YYYY-MM-DD`",
    ]


def test_what_is_no_version_is_refused(root):
    assert "VERSION=v0.2 is no version" in next(release.obstacles("v0.2", root))


def test_lines_that_are_unreleased_and_a_changed_tree_are_refused(root):
    (root / "CHANGELOG.md").write_text(CHANGELOG.replace("ed]\n", "ed]\n\n- More.\n", 1))
    found = list(release.obstacles("0.2.0", root))
    assert found[0].startswith("the work tree has changes:")
    assert found[1:] == ["CHANGELOG.md has lines under [Unreleased]"]


def test_a_tag_that_exists_and_another_branch_are_refused(root):
    git(root, "tag", "v0.2.0")
    git(root, "switch", "-q", "-c", "other")
    assert list(release.obstacles("0.2.0", root)) == [
        "the branch is other; expected main",
        "there is a tag v0.2.0 already",
    ]
