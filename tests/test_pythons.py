"""Which Pythons `make test-pythons` uses."""

import importlib.util
import sys
import tomllib
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "pythons.py"
SPEC = importlib.util.spec_from_file_location("pythons", SCRIPT)
pythons = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pythons)

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_what_the_tests_need_beside_a_newcomer_are_extras():
    project = tomllib.loads((SCRIPT.parents[1] / "pyproject.toml").read_text())["project"]
    assert set(pythons.EXTRAS_OF_TESTS.split(",")) <= set(project["optional-dependencies"])


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A folder that alone is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_every_supported_python_is_in_the_classifiers_and_in_requires_python():
    text = (SCRIPT.parents[1] / "pyproject.toml").read_text()
    versions = pythons.supported(text)
    assert versions == ["3.11", "3.12", "3.13", "3.14"]
    assert f'requires-python = ">={versions[0]}"' in text


def test_a_python_on_the_path_is_found(path):
    (path / f"python{HERE}").symlink_to(sys.executable)
    assert pythons.interpreter(HERE) == str(path / f"python{HERE}")


@pytest.mark.parametrize(
    "script", [None, "#!/bin/sh\nexit 127\n", "#!/bin/sh\necho Python 3.9.1\n"]
)
def test_one_that_is_not_there_or_does_not_answer_with_its_version_is_not_found(path, script):
    if script is not None:  # a version manager puts such a script in place of one not chosen
        (path / "python3.98").write_text(script)
        (path / "python3.98").chmod(0o755)
    assert pythons.outcome("3.98", []) == "not found on PATH"


def test_the_first_command_that_fails_is_named(path, monkeypatch, tmp_path):
    (path / f"python{HERE}").symlink_to(sys.executable)
    commands = [[sys.executable, "-c", ""], [sys.executable, "-c", "exit(3)"]]
    monkeypatch.setattr(pythons, "commands", lambda *_: iter(commands))
    assert pythons.outcome(HERE, []) == f"failed: {sys.executable} -c exit(3)"


def test_a_run_without_any_python_fails_and_says_which_were_not_found(path, capsys):
    with pytest.raises(SystemExit, match="1"):
        pythons.main([])
    assert "Python 3.13: not found on PATH" in capsys.readouterr().out
