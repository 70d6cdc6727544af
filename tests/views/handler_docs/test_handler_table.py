import runpy
import warnings
from pathlib import Path

import pytest

from trackside import handlers
from trackside.views.handler_docs.handler_table import BEGIN, END, handler_table, replace_table

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "handlers.md"


def test_the_table_on_the_page_matches_the_docstrings():
    text = PAGE.read_text(encoding="utf-8")
    assert text == replace_table(text), "run `make readme`"


def test_every_handler_has_a_row():
    rows = [line for line in handler_table().splitlines() if line.startswith("| `")]
    assert sorted(row.split("`")[1] for row in rows) == sorted(handlers.__all__)
    assert all(row.count(" | ") == 4 for row in rows)


def test_a_page_is_written_with_its_table_made_anew(tmp_path, monkeypatch):
    page = tmp_path / "handlers.md"
    begin, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(f"{begin}{BEGIN}\nnothing\n{END}{rest.split(END)[1]}", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["handler_table", str(page)])
    with warnings.catch_warnings(action="ignore"):  # that the module is imported already
        runpy.run_module(handler_table.__module__, run_name="__main__")
    assert page.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")


def test_a_handler_whose_docstring_lacks_a_line_is_named(monkeypatch):
    doc = handlers.EMA.__doc__.replace("Cost:", "Price:")
    monkeypatch.setattr(handlers.EMA, "__doc__", doc)
    with pytest.raises(ValueError, match="the docstring of EMA has no line `Cost:`"):
        handler_table()


def test_a_text_without_markers_is_refused():
    with pytest.raises(ValueError, match="no markers for the table"):
        replace_table("nothing")
