"""Import the programs in benchmarks/, which are no package."""

import importlib
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def benchmark_of(name, monkeypatch):
    """The module of that name; it finds those beside it while the test runs."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module(name)
