"""An environment with what `pip install` of the built wheel brings, and nothing else.

Nothing is downloaded: the libraries that the wheel requires are linked from this environment.
"""

import re
import shutil
import subprocess
import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def build(folder):
    """Build wheel and sdist of the files that git tracks; returns their paths."""
    source = folder / "source"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    code = (
        "import sys; from setuptools import build_meta as b; b.build_sdist('.'); b.build_wheel('.')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "would be ignored" not in done.stdout + done.stderr, done.stderr  # said by setuptools
    (wheel,), (sdist,) = source.glob("*.whl"), source.glob("*.tar.gz")
    return wheel, sdist


def environment(folder, wheel, extras):
    """Make an environment with the wheel and what it requires; returns the folder of programs."""
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "-q", "install", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    required = set()
    for line in distribution_of(packages).requires:
        add_required(line, extras, required)
    for name in required:
        link(distribution(name), packages)
    return folder / "bin"


def distribution_of(packages):
    (found,) = Distribution.discover(name="trackside", path=[str(packages)])
    return found


def add_required(line, extras, found):
    """Add the distribution that a line of a requirement names, and all that it requires."""
    requirement = Requirement(line)
    marker = requirement.marker
    if marker and not any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
        return
    name = re.sub(r"[-_.]+", "-", requirement.name).lower()
    if name in found:
        return
    found.add(name)
    for inner in distribution(name).requires or ():
        add_required(inner, requirement.extras, found)


def link(found, packages):
    """Link what a distribution has put into the folder of packages."""
    tops = {file.parts[0] for file in found.files if file.parts[0] not in ("..", "__pycache__")}
    for top in tops:
        target = packages / top
        if not target.exists():
            target.symlink_to(Path(found.locate_file(top)).resolve())
