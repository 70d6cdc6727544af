"""The table of handlers in the README, made from their docstrings by `make readme`."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

from ... import handlers

BEGIN, END = "<!-- handlers: made by `make readme` -->", "<!-- end of handlers -->"


def table() -> str:
    """Markdown tables, one for each wing: each handler, what it does, its signals, its cost.

    Raises:
        ValueError: the docstring of a handler lacks one of the labels.
    """
    wings: dict[str, list[str]] = {}
    for name in sorted(handlers.__all__):
        wings.setdefault(getattr(handlers, name).__module__.split(".")[-2], []).append(name)
    return "\n\n".join(_wing(wing, names) for wing, names in sorted(wings.items()))


def _wing(wing: str, names: list[str]) -> str:
    doc = import_module(f"{handlers.__name__}.{wing}").__doc__ or ""
    head = f"**{wing}**: {doc.partition(chr(10))[0]}"
    lines = [head, "", "| handler | what it does | signals | cost |", "|---|---|---|---|"]
    for name in names:
        doc = inspect.getdoc(getattr(handlers, name)) or ""
        does = doc.partition("\n\n")[0].replace("\n", " ")
        signals, cost = (_labelled(name, doc, label) for label in ("Signals", "Cost"))
        cells = (f"`{name}`", does, signals, cost)
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
