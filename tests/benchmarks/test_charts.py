"""The loops of benchmarks/charts.py: both of a pair do the same."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CODE = "import charts; print(*(name for name in charts.LOOPS if charts.weights_equal(name)))"


def test_the_measured_loops_equal_the_plain_ones_bit_for_bit():
    script = [sys.executable, "-c", CODE]
    done = subprocess.run(script, check=True, capture_output=True, text=True, cwd=BENCHMARKS)
    assert done.stdout == "gan language_model\n"
