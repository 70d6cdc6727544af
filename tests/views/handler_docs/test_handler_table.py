from pathlib import Path

import pytest

from trackside import handlers
from trackside.views.handler_docs.handler_table import handler_table, replace_table

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "handlers.md"


def test_the_table_on_the_page_matches_the_docstrings():
    text = PAGE.read_text(encoding="utf-8")
    assert text == replace_table(text), "run `make readme`"


def test_every_handler_has_a_row():
    rows = [line for line in handler_table().splitlines() if line.startswith("| `")]
    assert sorted(row.split("`")[1] for row in rows) == sorted(handlers.__all__)
    assert all(row.count(" | ") == 3 for row in rows)


def test_a_text_without_markers_is_refused():
    with pytest.raises(ValueError, match="no markers for the table"):
        replace_table("nothing")
