"""The tables of the reference are those of the chart and of the code."""

import importlib
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from trackside import TrainState, handlers
from trackside.engine import SUPERVISED
from trackside.views.commands.main import COMMANDS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("tables")


@pytest.mark.parametrize("name", ["signals", "cancels", "state", "command-line"])
def test_the_tables_on_a_page_match_the_code(tables, name):
    page = tables.path_of(name).read_text(encoding="utf-8")
    assert tables.with_tables(page, tables.TABLES[name]) == page, "run `make readme`"


def test_every_signal_of_the_chart_has_a_row(tables):
    rows = [line for line in tables.signals().splitlines() if line.startswith("| `")]
    assert {row.split("`")[1] for row in rows} >= {trigger for trigger, *_ in SUPERVISED.rows}


def test_every_field_of_the_state_has_a_row(tables):
    rows = [line for line in tables.state().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [field.name for field in fields(TrainState)]


def test_every_command_has_a_section(tables):
    assert tables.command_line().count("## trackside ") == len(COMMANDS)


def test_a_page_without_marks_is_refused(tables):
    with pytest.raises(ValueError, match="no marks for the table signals"):
        tables.with_tables("nothing", (tables.signals,))


def test_every_handler_has_an_example():
    page = (DOCS / "reference" / "handler-examples.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```py.*?^```", page, re.DOTALL | re.MULTILINE))
    found = set(re.findall(r"\b(\w+)\(", code))
    assert set(handlers.__all__) <= found, set(handlers.__all__) - found


def test_every_extra_has_a_row():
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]
    page = (DOCS / "reference" / "index.md").read_text(encoding="utf-8")
    _, _, table = page.partition("## Extras")
    named = [name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in row.split(", ")]
    assert sorted(named) == sorted(f"`{name}`" for name in project["optional-dependencies"])
