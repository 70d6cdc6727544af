"""Generate the table of handlers in docs/reference/handlers.md: `make readme`."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

from ... import handlers

BEGIN, END = "<!-- handlers: made by `make readme` -->", "<!-- end of handlers -->"


def handler_table() -> str:
    """Markdown tables, one for each wing, with a row for each handler: what its docstring says.

    Raises:
        ValueError: a label is missing in the docstring of a handler.
    """
    wings: dict[str, list[str]] = {}
    for name in sorted(handlers.__all__):
        wings.setdefault(getattr(handlers, name).__module__.split(".")[-2], []).append(name)
    return "\n\n".join(_wing_table(wing, names) for wing, names in sorted(wings.items()))


def _wing_table(wing: str, names: list[str]) -> str:
    doc = import_module(f"{handlers.__name__}.{wing}").__doc__ or ""
    heading = f"**{wing}**: {doc.partition(chr(10))[0]}"
    lines = [heading, "", "| handler | what it does | signals | cost | does not |"]
    lines.append("|---|---|---|---|---|")
    for name in names:
        doc = inspect.getdoc(getattr(handlers, name)) or ""
        summary = doc.partition("\n\n")[0].replace("\n", " ")
        labels = ("Signals", "Cost", "Does not")
        cells = (f"`{name}`", summary, *(_labelled_text(name, doc, label) for label in labels))
        lines.append(f"| {' | '.join(cell.replace('|', '·') for cell in cells)} |")
    return "\n".join(lines)


def replace_table(text: str) -> str:
    """Replace the table of handlers in `text` by a new one.

    Raises:
        ValueError: the markers around the table are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the text has no markers for the table: {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{handler_table()}\n{END}{after}"


def _labelled_text(name: str, doc: str, label: str) -> str:
    """The text after a label, up to the next label, an empty line or the end."""
    match = re.search(rf"^{label}:\s*(.+?)(?=^\S[^\n]*?:\s|\n\n|\Z)", doc, re.M | re.S)
    if match is None:
        raise ValueError(f"the docstring of {name} has no line `{label}:`")
    return " ".join(match[1].split())


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(replace_table(path.read_text(encoding="utf-8")), encoding="utf-8")
