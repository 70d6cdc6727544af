"""Whether the tests in a browser may be skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from browsers import REQUIRED

ROOT = Path(__file__).parents[1]
ONE = "tests/views/page/test_report.py::test_it_opens_offline_with_all_counts"


def without_a_browser(**variables):
    """What a test in a browser says where there is none."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", ONE],
        cwd=ROOT,
        env={**os.environ, REQUIRED: "", **variables, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("value", "status"), [("", 0), ("required", 1)])
def test_without_a_browser_they_say_that_they_are_skipped_and_fail_where_they_must_not_be(
    value, status
):
    done = without_a_browser(**{REQUIRED: value})
    assert done.returncode == status, done.stdout + done.stderr
    assert "no chromium" in done.stdout
    assert ("1 skipped" if status == 0 else "1 error") in done.stdout


def test_continuous_integration_does_not_skip_them():
    assert f"export {REQUIRED}=required" in (ROOT / ".ci" / "run").read_text()
