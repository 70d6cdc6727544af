"""Every figure in the README and on the pages of the site is made from a file of results."""

import re
from pathlib import Path

import pytest
from benchmarked import benchmark_of

ROOT = Path(__file__).parents[2]
A_MODEL = "docs/how-to/distributed.md"
"""Has the cost of votes of ranks that nobody has, computed from assumptions; it says so."""
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))
MADE = re.compile(r"<!-- (\w+): made by .*?<!-- end of \1 -->", re.DOTALL)
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
FIGURE = re.compile(r"\d ?(µs|ms|×|MB|GB)(?!\w)")


@pytest.fixture
def costs(monkeypatch):
    return benchmark_of("costs", monkeypatch)


def figures_by_hand(text):
    """The lines with a measured figure that are not made from results, nor an example's output."""
    return [line for line in CODE.sub("", MADE.sub("", text)).splitlines() if FIGURE.search(line)]


def test_the_tables_on_the_page_match_the_results(costs):
    page = costs.PAGE.read_text()
    assert all(mark in page for marks in costs.MARKS.values() for mark in marks)
    assert costs.with_tables(page) == page, "run `make results`"


@pytest.mark.parametrize("name", ["README.md", *(page for page in PAGES if page != A_MODEL)])
def test_no_figure_is_written_by_hand(name):
    assert figures_by_hand((ROOT / name).read_text()) == []


def test_a_figure_that_was_written_by_hand_is_found():
    made = "<!-- costs: made by `x` -->\n| 2 ms |\n<!-- end of costs -->\nit takes 1.02 × as long\n"
    assert figures_by_hand(made) == ["it takes 1.02 × as long"]
    assert figures_by_hand("it takes 2 ms") == ["it takes 2 ms"]


def test_every_command_in_the_tables_is_there(costs):
    names = re.findall(r"`(\w+)\.py`", costs.costs())
    assert names
    assert all((ROOT / "benchmarks" / f"{name}.py").exists() for name in names)


def test_the_cost_of_a_batch_does_not_grow_faster_than_its_number(costs):
    scaling = costs.read("scaling")
    assert all(scaling[name]["slope"] < 1.1 for name in ("batches", "handlers", "trainers"))
