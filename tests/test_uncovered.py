import signal
import sys
from pathlib import Path

import coverage
from forked import WITH_TEST_HELPERS, run_forked

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import uncovered  # noqa: E402

sys.path.remove(str(ROOT / "tools"))


TOTALS = {"num_statements": 200, "covered_lines": 197, "num_branches": 40, "covered_branches": 39}


def measured(functions):
    of_file = {
        name: {"missing_lines": lines, "missing_branches": branches}
        for name, (lines, branches) in functions.items()
    }
    return {"files": {"a.py": {"functions": of_file, "summary": TOTALS}}, "totals": TOTALS}


FOUND = measured(
    {
        "": ([], []),
        "fit": ([3, 4, 5, 9], [[2, 3], [7, 8], [8, -1]]),
        "on_cuda": ([20], []),
    }
)


def test_uncovered_lines_and_branches_are_printed_by_function():
    lines = list(uncovered.report(FOUND, {("a.py", "on_cuda"): "needs CUDA"}))
    assert lines == [
        "a.py:3 fit: 3-5, 9, 7->8, 8->end",
        "needs CUDA:",
        "    a.py:20 on_cuda: 20",
        "a.py: 98.5 % of the lines and 97.5 % of the branches",
        "all: 98.5 % of the lines and 97.5 % of the branches",
    ]


def test_a_named_function_that_is_covered_or_gone_is_told():
    reasons = {("a.py", "on_cuda"): "", ("a.py", ""): "", ("a.py", "gone"): ""}
    assert uncovered.stale(FOUND, reasons) == ["a.py: ", "a.py: gone"]


def test_the_list_gives_a_reason_for_each_function(tmp_path):
    text = '[[uncovered]]\nfile = "a.py"\nfunctions = ["f", "g.h"]\nwhy = "needs CUDA"\n'
    (tmp_path / "uncovered.toml").write_text(text)
    found = uncovered.named(tmp_path / "uncovered.toml")
    assert found == {("a.py", "f"): "needs CUDA", ("a.py", "g.h"): "needs CUDA"}


def test_every_file_with_a_named_function_is_there():
    assert all((ROOT / file).is_file() and why for (file, _), why in uncovered.named().items())


KILLED = """
import os, signal, sys
import coverage

measured = coverage.Coverage(data_file=sys.argv[1], config_file=False, include="*/patience.py")
measured.start()
import conftest, patience
conftest.pytest_sessionfinish()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_that_is_killed_while_it_exits_has_written_what_it_measured(tmp_path):
    command = [sys.executable, "-c", KILLED, tmp_path / "data"]
    assert run_forked(command, env=WITH_TEST_HELPERS).returncode == -signal.SIGKILL
    data = coverage.CoverageData(str(tmp_path / "data"))
    data.read()
    assert [Path(file).name for file in data.measured_files()] == ["patience.py"]
