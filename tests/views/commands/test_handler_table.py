from pathlib import Path

import pytest

from trackside import handlers
from trackside.views.commands.handler_table import table, with_table

README = Path(__file__).parents[3] / "README.md"


def test_the_table_in_the_readme_is_the_one_that_the_docstrings_make():
    text = README.read_text(encoding="utf-8")
    assert text == with_table(text), "run `make readme`"


def test_every_handler_has_a_row():
    rows = [line for line in table().splitlines() if line.startswith("| `")]
    assert sorted(row.split("`")[1] for row in rows) == sorted(handlers.__all__)
    assert all(row.count(" | ") == 3 for row in rows)


def test_a_text_without_a_place_for_it_is_refused():
    with pytest.raises(ValueError, match="no place for the table"):
        with_table("nothing")
