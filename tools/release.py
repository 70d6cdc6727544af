"""Do all of a release but the upload: `make release VERSION=0.2.0`; see RELEASING.md."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def obstacles(version: str, root: Path = ROOT) -> Iterator[str]:
    """What is not as it should be before a release, a sentence each."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"VERSION={version} is no version; expected three numbers, such as 0.2.0"
    if changed := _git(root, "status", "--porcelain"):
        yield f"the work tree has changes:\n{changed}"
    if (branch := _git(root, "branch", "--show-current")) != "main":
        yield f"the branch is {branch or 'none'}; expected main"
    if _git(root, "tag", "--list", f"v{version}"):
        yield f"there is a tag v{version} already"
    if f'__version__ = "{version}"' not in (root / "trackside" / "__init__.py").read_text():
        yield f"trackside/__init__.py has another version than {version}"
    yield from _of_changelog(version, (root / "CHANGELOG.md").read_text())


def _of_changelog(version: str, text: str) -> Iterator[str]:
    unreleased = re.search(r"^## \[Unreleased\]$(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if unreleased and unreleased[1].strip():
        yield "CHANGELOG.md has lines under [Unreleased]"
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE):
        yield f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`"


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def build(root: Path = ROOT) -> None:
    """Build both distributions into an empty `dist/`, and check them."""
    dist = root / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    python = [sys.executable, "-m"]
    subprocess.run([*python, "build", "--outdir", dist, root], check=True)
    subprocess.run([*python, "twine", "check", "--strict", *dist.iterdir()], check=True)
    subprocess.run([*python, "check_wheel_contents", *dist.glob("*.whl")], check=True)


def main(version: str) -> None:
    """Check, test, build and tag; stops at the first thing that is not as it should be."""
    found = list(obstacles(version))
    if found:
        raise SystemExit("\n".join(["cannot release:", *(f"- {each}" for each in found)]))
    subprocess.run(["make", "-C", ROOT, "test"], check=True)
    build()
    subprocess.run([sys.executable, ROOT / "tests" / "first_ten_minutes.py"], check=True)
    _git(ROOT, "tag", f"v{version}")
    print(f"tagged v{version}; upload: git push origin main v{version}; twine upload dist/*")


if __name__ == "__main__":
    main(sys.argv[1])
