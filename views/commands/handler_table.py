"""The table of handlers in the README, made from their docstrings by `make readme`."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

from ... import handlers

BEGIN, END = "<!-- handlers: made by `make readme` -->", "<!-- end of handlers -->"


def table() -> str:
    """A Markdown table: each handler, what it does, what it hears, what it costs.

    Raises:
        ValueError: the docstring of a handler lacks one of the labels.
    """
    lines = ["| handler | what it does | hears | cost |", "|---|---|---|---|"]
    for name in sorted(handlers.__all__):
        doc = inspect.getdoc(getattr(handlers, name)) or ""
        does = doc.partition("\n\n")[0].replace("\n", " ")
        hears, cost = (_labelled(name, doc, label) for label in ("Hears", "Cost"))
        cells = (f"`{name}`", does, hears, cost)
        lines.append(f"| {' | '.join(cell.replace('|', '·') for cell in cells)} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """`text` with its table of handlers made anew.

    Raises:
        ValueError: the marks between which it stands are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the text has no place for the table: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _labelled(name: str, doc: str, label: str) -> str:
    """The text behind a label, up to the next label, empty line or the end."""
    found = re.search(rf"^{label}:\s*(.+?)(?=^\S[^\n]*?:\s|\n\n|\Z)", doc, re.M | re.S)
    if found is None:
        raise ValueError(f"the docstring of {name} has no line `{label}:`")
    return " ".join(found[1].split())


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
