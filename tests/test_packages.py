"""The wheel and the sdist: what is in them, and that the README runs with the installed wheel."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile

import installed
import pytest
from test_readme import ROOT, blocks, python_of

README = ROOT / "README.md"
EXTRAS = ("demo", "watch")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return installed.build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def programs(built, tmp_path_factory):
    return installed.environment(tmp_path_factory.mktemp("empty") / "env", built[0], EXTRAS)


def run(*command, cwd, **options):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **options)


def clean_environment():
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}


def test_the_wheel_holds_the_packages_and_nothing_else(built):
    names = zipfile.ZipFile(built[0]).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"trackside"}
    stray = [n for n in names if "test" in n.lower().split("/")[-1] or n.endswith((".pyc", ".so"))]
    assert stray == []
    packages = ("events", "engine", "handlers", "views")
    assert {f"trackside/{package}/py.typed" for package in packages} <= set(names)
    sources = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    assert {f"trackside/{path.relative_to(ROOT).as_posix()}" for path in sources} <= set(names)


def test_the_sdist_holds_no_tests_and_no_pictures(built):
    with tarfile.open(built[1]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    tops = {name.split("/")[0] for name in names if name}
    assert tops <= {
        *("trackside", "events", "engine", "handlers", "views", "trackside.egg-info"),
        *("pyproject.toml", "setup.cfg", "PKG-INFO", "MANIFEST.in"),
        *("README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"),
    }


def test_the_checkers_of_packages_find_nothing(built, tmp_path):
    twine = run(sys.executable, "-m", "twine", "check", "--strict", *map(str, built), cwd=tmp_path)
    assert twine.returncode == 0, twine.stdout
    wheel = run(sys.executable, "-m", "check_wheel_contents", str(built[0]), cwd=tmp_path)
    assert wheel.returncode == 0, wheel.stdout


def test_the_readme_names_what_is_installed_here():
    first = blocks(README, "sh")[0][1][0]
    assert first.startswith(f'pip install ".[{",".join(EXTRAS)}]"')


def test_the_readme_runs_with_the_installed_wheel_and_prints_what_it_shows(programs, tmp_path):
    (tmp_path / "readme.py").write_text(python_of(README), encoding="utf-8")
    python = str(programs / "python")
    done = run(python, "-W", "error", "readme.py", cwd=tmp_path, env=clean_environment())
    assert done.returncode == 0, done.stderr
    printed = without_metrics(done.stderr + done.stdout)
    assert set(without_metrics("\n".join(blocks(README, "text")[0][1]))) <= set(printed)


def without_metrics(text):
    """The lines, without the values of metrics: they differ by processor and version of torch."""
    return re.sub(r"=[0-9.e-]+", "=…", text).splitlines()


def test_its_commands_run_with_the_installed_wheel(programs, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    trackside = str(programs / "trackside")
    fit = "fit", "examples/digits.py:digits", "--record", "runs/run.loop", "--epochs", "1"
    done = run(trackside, *fit, cwd=tmp_path, env=clean_environment())
    assert done.returncode == 0, done.stderr
    watching = subprocess.Popen(
        [trackside, "watch", "runs"],
        cwd=tmp_path,
        env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert "http://127.0.0.1:" in watching.stdout.readline()
    finally:
        watching.terminate()
        watching.communicate(timeout=30)


def test_python_m_trackside_tells_the_version(programs, tmp_path):
    python = str(programs / "python")
    done = run(python, "-m", "trackside", "--version", cwd=tmp_path, env=clean_environment())
    assert done.stdout.startswith("trackside 0.")
