"""The site of the documentation builds without a warning, and its words are spelled right."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

from docutils import nodes

ROOT = Path(__file__).parents[2]


def run(*arguments):
    """Run a module of Python in the checkout, whatever copy of trackside is installed."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_site_builds_without_a_warning(tmp_path):
    places = "docs", str(tmp_path / "site"), "-d", str(tmp_path / "doctrees")
    done = run("sphinx", "-q", "-W", "--keep-going", "-b", "dummy", *places)
    assert done.returncode == 0, done.stderr
    for page, chart in (("index", "loop"), ("how-to/charts", "charts/sam")):
        doctree = pickle.loads((tmp_path / "doctrees" / f"{page}.doctree").read_bytes())
        shown = [image["uri"] for image in doctree.findall(nodes.image)]
        assert {f"{chart}.svg", f"{chart}-narrow.svg"} <= {*shown}


def test_the_words_of_the_documents_are_spelled_right():
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    done = run("codespell_lib", *map(str, documents))
    assert done.returncode == 0, done.stdout
