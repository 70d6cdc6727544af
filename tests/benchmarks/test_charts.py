"""The loops of benchmarks/charts.py: both of a pair do the same."""

import sys
from pathlib import Path

from forked import run_forked

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CODE = "import charts; print(*(name for name in charts.LOOPS if charts.weights_equal(name)))"


def test_the_measured_loops_equal_the_plain_ones_bit_for_bit():
    done = run_forked([sys.executable, "-c", CODE], check=True, cwd=BENCHMARKS)
    assert done.stdout == "gan language_model\n"
