"""The wheel and the sdist: what is in them; the README and type checkers with the wheel."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import installed
import pytest
from test_readme import ROOT, blocks, python_of

import trackside

README = ROOT / "README.md"
EXTRAS = ("demo", "watch")


WRONG = "  # wrong"
USER = """
from collections.abc import Iterator

import torch

from trackside import (
    EMA,
    CancelBatchException,
    Handler,
    History,
    KeyedLoader,
    Trainer,
    TrainState,
    Transition,
    __version__,
)
from trackside.events import OwnName, TrainerProtocol
from trackside.handlers import OneCycle

kind: type[Trainer] = Trainer
schedule: OneCycle = OneCycle(0.1)
version: str = __version__
wrong: int = History()  # wrong

model = torch.nn.Linear(1, 1)
trainer = Trainer(model, handlers=[EMA(), History(), "progress_bar"])


@trainer.on("after_loss")
def with_types(trainer: Trainer, state: TrainState) -> None: ...
@trainer.on("after_epoch", every=2, inside="fit")
def short(t: Trainer, s: TrainState) -> None: ...
@trainer.on("after_epoch")
def by_keyword(trainer: Trainer, **payload: object) -> None: ...
@trainer.on("any_transition", once=True)
def every_one(trainer: Trainer, state: TrainState, transition: Transition) -> None: ...
@trainer.on(OwnName("after_draw"))
def of_own_chart(trainer: Trainer, state: TrainState) -> None: ...
@trainer.within("epoch")
def around(trainer: Trainer, state: TrainState) -> Iterator[None]:
    yield
@trainer.within(OwnName("draw"))
def around_own(trainer: Trainer, state: TrainState) -> Iterator[None]:
    yield


trainer.on("after_los")  # wrong
trainer.on("after_loss", inside="epochs")  # wrong
trainer.within("batches")  # wrong
trainer.on("after_loss")(lambda trainer: None)  # wrong
trainer.on("any_transition")(short)  # wrong
trainer.on("after_loss")(every_one)  # wrong
trainer.within("epoch")(short)  # wrong
with_types(trainer, trainer.state)
with_types(trainer)  # wrong


class Plain:
    def after_loss(self, t: TrainerProtocol, s: TrainState) -> None:
        t.on("after_loss")(short)
        t.on("after_los")  # wrong

    def helper(self) -> None: ...


class PlainScope:
    def within_batch(self, trainer: Trainer, state: TrainState) -> Iterator[None]:
        yield


class PlainWrong:
    def after_loss(self, state: TrainState) -> None: ...


class Derived(Handler):
    def after_loss(self, trainer: Trainer, state: TrainState) -> None: ...

    def after_epoch(self, state: TrainState) -> None: ...  # wrong

    def within_batch(self, trainer: Trainer, state: TrainState) -> None: ...  # wrong


class OfOwnChart(Handler):
    def after_draw(self, trainer: Trainer, state: TrainState) -> None: ...


trainer.attach("progress_bar")
trainer.attach(EMA())
trainer.attach(Plain())
trainer.attach(PlainScope())
trainer.attach(OfOwnChart())
trainer.attach(PlainWrong())  # wrong
trainer.attach(EMA)  # wrong
trainer.attach(Plain)  # wrong
trainer.attach(short)  # wrong
Trainer(model, handlers=[Plain(), PlainScope(), EMA()])
Trainer(model, handlers=[EMA])  # wrong
several = [EMA(), History()]
Trainer(model, handlers=several)
"""


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


@pytest.fixture(scope="module")
def site(built, tmp_path_factory):
    """A folder with the content of the wheel."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(built[0]).extractall(folder)
    return folder


def python(*arguments, cwd, site=None):
    """Run Python without the editable installation of these tests; `site` stands for it."""
    start = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'Editable' not in repr(f)];"
    )
    *options, code = arguments
    done = subprocess.run(
        [sys.executable, *options, "-c", start + code],
        cwd=cwd,
        env={"PYTHONPATH": str(site or "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


WHERE = "import trackside, trackside.events; print(trackside.__file__, trackside.events.__file__)"


def test_an_installation_is_found_from_anywhere(site, tmp_path):
    package = site / "trackside"
    assert python(WHERE, cwd=tmp_path, site=site) == [
        str(package / "__init__.py"),
        str(package / "events" / "__init__.py"),
    ]


def test_in_the_root_of_a_checkout_the_checkout_is_used_and_not_half_of_an_installation(site):
    assert python(WHERE, cwd=ROOT, site=site) == [
        str(ROOT / "trackside" / "__init__.py"),
        str(ROOT / "events" / "__init__.py"),
    ]


def test_an_installation_has_its_marker_for_type_checkers_and_the_page(site):
    assert (site / "trackside" / "py.typed").is_file()
    assert [*(site / "trackside" / "views" / "page" / "assets").rglob("*.js")]


@pytest.mark.parametrize("place", ["a checkout", "elsewhere"])
def test_the_module_is_the_command_line(place, site, tmp_path):
    code = """
try:
    sys.argv = ["trackside", "--version"]
    import runpy; runpy.run_module("trackside", run_name="__main__")
except SystemExit: pass"""
    cwd = ROOT if place == "a checkout" else tmp_path
    assert python(code, cwd=cwd, site=site) == ["trackside", trackside.__version__]


CHECKERS = {
    "mypy": ["-m", "mypy", "--strict", "--cache-dir"],
    "pyright": ["-m", "pyright", "--pythonpath", sys.executable],
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_type_checkers_see_the_names_of_an_installation(checker, site, tmp_path):
    (tmp_path / "user.py").write_text(USER)
    options = [str(tmp_path / "cache")] if checker == "mypy" else []
    if (ROOT / ".mypy_cache").exists():  # knows torch, which takes most of the time
        shutil.copytree(ROOT / ".mypy_cache", tmp_path / "cache")
    done = subprocess.run(
        [sys.executable, *CHECKERS[checker], *options, "user.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(site), "PYTHONPATH": str(site), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = USER.splitlines()
    expected = {number for number, line in enumerate(lines, 1) if line.endswith(WRONG)}
    found = {int(n) for n in re.findall(r"user\.py:(\d+):.*error:", done.stdout)}
    assert found == expected, done.stdout + done.stderr
