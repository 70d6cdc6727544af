"""The site of the documentation: `make docs` builds it, and takes a warning for an error."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from trackside import __version__, handlers
from trackside.engine.diagram.fitting_html import fitting_html, picture_width

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "trackside"
release = __version__
author = project_copyright = "the authors of trackside"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "charts"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_use_ivar = True
napoleon_use_rtype = False

# what cannot be reached is replaced by the names that these pages use
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", (None, "inventories/python.inv")),
    "torch": ("https://docs.pytorch.org/docs/stable", (None, "inventories/torch.inv")),
}
intersphinx_timeout = 5

html_theme = "pydata_sphinx_theme"
html_title = f"trackside {release}"
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_show_sourcelink = False

LABEL = re.compile(r"^(Signals|Reads|Writes|Raises|Cost|Does not|Source):(?= \S)")
CODE = re.compile(r"`+([^`]+)`+(\w?)", re.DOTALL)


def write_handler_pages(app: Sphinx) -> None:
    """Write a page for each wing of handlers, with all of its classes."""
    folder = HERE / "reference" / "handlers"
    folder.mkdir(exist_ok=True)
    for wing, names in handlers_by_wing().items():
        classes = "\n\n".join(f".. autoclass:: trackside.handlers.{name}" for name in names)
        page = f"# {wing.capitalize()}\n\n```{{eval-rst}}\n{classes}\n```\n"
        path = folder / f"{wing}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != page:
            path.write_text(page, encoding="utf-8")


def handlers_by_wing() -> dict[str, list[str]]:
    """The names of all handlers, by the folder that they are in."""
    wings: dict[str, list[str]] = {}
    for name in sorted(handlers.__all__):
        wings.setdefault(getattr(handlers, name).__module__.split(".")[-2], []).append(name)
    return wings


def as_restructured_text(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Turn the labels of a docstring into fields, and its code into literals."""
    in_label = False
    for number, line in enumerate(lines):
        in_label = bool(LABEL.match(line)) or (in_label and bool(line))
        if in_label:
            lines[number] = LABEL.sub(r":\1:", line) if LABEL.match(line) else f"    {line.strip()}"
    lines[:] = "".join(_escaped("\n".join(lines))).splitlines()


def _escaped(text: str) -> list[str]:
    parts, end = [], 0
    for code in CODE.finditer(text):
        parts.append(_without_markup(text[end : code.start()]))
        parts.append(f"``{code[1]}``" + (f"\\ {code[2]}" if code[2] else ""))
        end = code.end()
    return [*parts, _without_markup(text[end:])]


def _without_markup(text: str) -> str:
    return re.sub(r"(?<!^)(?<!\n)([*|]|_(?!\w))", r"\\\1", text)


def fit_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Show the narrow picture of a chart instead, where the page has no room for the wide one."""
    for image in list(doctree.findall(nodes.image)):
        path = HERE / Path(app.env.doc2path(app.env.docname)).parent / image["uri"]
        if path.with_name(f"{path.stem}-narrow.svg").exists():
            narrow = image.deepcopy()
            narrow["uri"] = image["uri"].replace(".svg", "-narrow.svg")
            width = picture_width(path.read_text(encoding="utf-8"))
            before, between, after = fitting_html("|", "|", width).split("|")
            parts = [_html(before), image.deepcopy(), _html(between), narrow, _html(after)]
            image.parent.replace(image, parts)


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def setup(app: Sphinx) -> None:
    """Connect all to the build."""
    app.connect("builder-inited", write_handler_pages)
    app.connect("doctree-read", fit_pictures, priority=400)  # before images are collected
    app.connect("autodoc-process-docstring", as_restructured_text, priority=400)
