"""Handlers of other distributions, which are built and installed in a virtual environment."""

import site
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from forked import ENVIRONMENT, run_forked

import trackside.handlers

ROOT = Path(__file__).parents[3]

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.2"

[tool.setuptools]
packages = ["{package}"]

[project.entry-points."trackside.handlers"]
"""

ACME = {
    "pyproject.toml": PYPROJECT.format(name="acme-drift", package="acme")
    + """
"acme.drift" = "acme:Drift"
"acme.typo" = "acme.drift:Drif"
"acme.broken" = "acme.broken:Broken"
"acme.exits" = "acme.exits:Exits"
"acme.number" = "acme.drift:NUMBER"
"acme.picky" = "acme.drift:Picky"
"acme.shared" = "acme.drift:Drift"
""",
    "acme/__init__.py": """
import os
import pathlib

pathlib.Path(os.environ["LOADED"]).touch()

from .drift import Drift
""",
    "acme/drift.py": '''
from trackside.events import TrainState

NUMBER = 3


class Drift:
    """Counts the steps in which a weight drifted.

    Signals: after_step
    """

    def __init__(self, limit: float = 0.0):
        self.limit = limit

    def after_step(self, trainer, state: TrainState):
        state.notes["drifted"] = state.notes.get("drifted", 0) + 1

    def after_fit(self, trainer, state):
        print("drifted", state.notes["drifted"])


class Picky(Drift):
    def __init__(self, limit):
        super().__init__(limit)
''',
    "acme/broken.py": "import a_module_that_nobody_has\n",
    "acme/exits.py": "raise SystemExit(3)\n",
}

RIVAL = {
    "pyproject.toml": PYPROJECT.format(name="rival", package="rival")
    + '"acme.shared" = "rival:Shared"\n',
    "rival/__init__.py": """
class Shared:
    def after_fit(self, trainer, state):
        print("rival received it")
""",
}

JOBS = """
import torch
from trackside.engine import Trainer
from trackside.views import Job

BATCHES = [(torch.ones(3, 4), torch.ones(3, 2))] * 5


def trainer(*handlers):
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Trainer(model, torch.nn.MSELoss(), optimizer, handlers)


def job():
    return Job(trainer(), BATCHES, epochs=2)
"""


def write(directory, files):
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(directory)


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """The interpreter of a new environment with two more distributions, and their folder."""
    root = tmp_path_factory.mktemp("plugins")
    sources = [write(root / "acme", ACME), write(root / "rival", RIVAL)]
    venv.create(root / "venv", symlinks=True)
    python = str(root / "venv" / "bin" / "python")
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'), end='')"
    packages = subprocess.run([python, "-c", purelib], capture_output=True, text=True, check=True)
    # packages of this environment, also editable ones, can be imported there
    here = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    Path(packages.stdout, "here.pth").write_text("\n".join(here))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index"]
    offline = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([*pip, *offline, *sources], check=True, cwd=root)
    return python, packages.stdout


@pytest.fixture
def run(python, tmp_path):
    """Run Python there; the result has `returncode`, `stdout`, `stderr`, `loaded` (acme).

    With options of Python it is the new interpreter; else a fork that imports from there.
    """

    interpreter, packages = python

    def run(*arguments):
        marker = tmp_path / "loaded"
        marker.unlink(missing_ok=True)
        (tmp_path / "jobs.py").write_text(JOBS)
        command, variables = [interpreter, *arguments], {**ENVIRONMENT, "LOADED": str(marker)}
        if arguments[0] == "-X":
            pipes = {"capture_output": True, "text": True}
            done = subprocess.run(command, cwd=tmp_path, env=variables, check=False, **pipes)
        else:
            command[0], variables["PYTHONPATH"] = sys.executable, packages
            done = run_forked(command, cwd=tmp_path, env=variables)
        done.loaded = marker.exists()
        return done

    return run


@pytest.fixture
def refused(run):
    """Name a handler; returns the message of the error, and whether acme was imported."""

    def refused(name):
        code = (
            "from trackside.events import AttachError\n"
            "from trackside.events.bus.plugins import make_handler\n"
            f"try: make_handler({name!r})\n"
            "except AttachError as error: print(error)"
        )
        done = run("-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), done.loaded

    return refused


def test_an_installed_handler_that_is_not_named_is_not_loaded(run):
    done = run("-c", "import jobs; jobs.trainer('ema').fit(jobs.BATCHES); print('trained')")
    assert done.stdout == "trained\n", done.stderr
    assert not done.loaded


def test_handlers_are_attached_by_name(run):
    code = "import jobs; print(jobs.trainer('ema', 'acme.drift').fit(jobs.BATCHES).notes)"
    done = run("-c", code)
    assert done.stdout == "drifted 5\n{'drifted': 5}\n", done.stderr
    assert done.loaded


def test_the_command_line_attaches_a_handler_by_name(run):
    command = ("-m", "trackside", "fit", "jobs:job")
    done = run(*command, "--handler", "acme.drift", "--handler", "rival:acme.shared")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["drifted 10", "rival received it"]


def test_the_list_of_handlers_is_complete_and_loads_none(run):
    done = run("-X", "importtime", "-m", "trackside", "handlers")
    assert done.returncode == 0, done.stderr
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert (
        "acme-drift 1.2 acme.drift acme:Drift Counts the steps in which a weight drifted." in rows
    )
    assert "acme-drift 1.2 acme.broken acme.broken:Broken" in rows
    assert "acme-drift 1.2 acme-drift:acme.shared acme.drift:Drift Counts the steps" in "\n".join(
        rows
    )
    assert "rival 1.2 rival:acme.shared rival:Shared" in rows
    ema = " ema trackside.handlers.averaging.ema:EMA Averages the weights exponentially"
    assert any(ema in row for row in rows)
    assert not done.loaded
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "trackside.events" in imported
    assert not {"torch", "acme", "rival", "trackside.handlers.averaging.ema"} & imported


def test_an_unknown_name_is_refused_with_a_suggestion(refused):
    message, loaded = refused("acme.dirft")
    assert message.startswith("no installed distribution publishes a handler 'acme.dirft'")
    assert "did you mean acme.drift?" in message
    assert not loaded


def test_a_name_of_two_distributions_is_refused_and_both_are_listed(refused):
    message, loaded = refused("acme.shared")
    assert "acme-drift 1.2, rival 1.2" in message
    assert "name one of them: acme-drift:acme.shared, rival:acme.shared" in message
    assert not loaded


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("acme.broken", "ModuleNotFoundError: No module named 'a_module_that_nobody_has'"),
        ("acme.exits", "SystemExit: 3"),
        ("acme.typo", "AttributeError: module 'acme.drift' has no attribute 'Drif'"),
        ("acme.number", "is a int; expected a class, or a function, that returns a handler"),
        ("acme.picky", "without arguments: missing a required argument: 'limit'"),
    ],
)
def test_a_broken_handler_is_refused_with_name_and_distribution(refused, name, why):
    message, loaded = refused(name)
    assert f"handler {name!r}" in message
    assert "of acme-drift 1.2" in message
    assert why in message
    assert loaded


def test_a_loaded_handler_is_logged_with_its_distribution(run):
    code = (
        "import logging; logging.basicConfig(level='INFO'); import jobs; jobs.trainer('acme.drift')"
    )
    message = run("-c", code).stderr
    assert "INFO:trackside:loaded handler 'acme.drift' (acme:Drift of acme-drift 1.2)" in message


def test_the_command_line_refuses_a_name_before_it_imports_torch(run):
    command = ("-m", "trackside", "fit", "nowhere:job")
    done = run("-X", "importtime", *command, "--handler", "acme.dirft")
    assert done.returncode == 2
    assert "trackside: --handler: no installed distribution publishes" in done.stderr
    assert "| torch\n" not in done.stderr


def test_handlers_of_this_project_are_published_by_their_file_names():
    ours = (getattr(trackside.handlers, name) for name in trackside.handlers.__all__)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["trackside.handlers"] == {
        handler.__module__.rpartition(".")[2]: f"{handler.__module__}:{handler.__name__}"
        for handler in ours
    }
