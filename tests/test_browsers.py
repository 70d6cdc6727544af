"""Tests in a browser are skipped without one, unless the environment requires them."""

import os
import subprocess
import sys
from pathlib import Path

from browsers import REQUIRED

ROOT = Path(__file__).parents[1]
BROWSER_TEST = "tests/views/page/test_report.py::test_report_opens_offline_with_all_counts"


def run_without_browser(**variables):
    """Run one browser test where no browser is found."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", BROWSER_TEST],
        cwd=ROOT,
        env={**os.environ, REQUIRED: "", **variables, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_browser_its_tests_are_skipped_or_fail_where_required():
    for value, status, summary in (("", 0, "1 skipped"), ("required", 1, "1 error")):
        done = run_without_browser(**{REQUIRED: value})
        assert done.returncode == status, done.stdout + done.stderr
        assert "no chromium" in done.stdout
        assert summary in done.stdout


def test_continuous_integration_requires_the_browser_tests():
    assert f"export {REQUIRED}=required" in (ROOT / ".ci" / "run").read_text()
