"""The pages, each assembled from its parts to one file that needs nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib.resources import files


class Page:
    """One file of HTML with a style and a script in it.

    Args:
        template: of the HTML.
        styles, scripts: the parts of both, in the order in which they stand there.
    """

    def __init__(self, template: str, styles: Sequence[str], scripts: Sequence[str]) -> None:
        self._template = template
        self._styles = styles
        self._scripts = scripts

    @cached_property
    def policy(self) -> str:
        """Its Content-Security-Policy: its own script, style and server, and nothing else."""
        script, style = _hash(self._script), _hash(self._style)
        return (
            f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        )

    def html(self, title: str = "trackside", data: Mapping[str, str] | None = None) -> str:
        """The file.

        Args:
            title: of the window, until the page knows better.
            data: texts that it carries, by name.
        """
        parts = {
            "policy": html.escape(self.policy, quote=True),
            "title": html.escape(title),
            "style": self._style,
            "script": self._script,
            "data": "".join(_carried(name, text) for name, text in (data or {}).items()),
        }
        return re.sub(
            r"<!--(\w+)-->|/\*=(\w+)=\*/",
            lambda found: parts[found[1] or found[2]],
            _asset(self._template),
        )

    @cached_property
    def _style(self) -> str:
        return "\n".join(_asset(f"{name}.css") for name in self._styles)

    @cached_property
    def _script(self) -> str:
        return "\n".join(_asset(f"{name}.js") for name in self._scripts)


_STYLES = ("theme", "header", "side", "board", "chart", "timeline", "layout")
_BOARD = ("dom", "format", "colours", "names", "edges", "board", "ways", "wires", "tables")
_RECORDS = ("walker", "records", "curves", "totals")
_TIMELINE = ("canvas", "lanes", "strokes", "plots", "overview")
_CONTROL = ("view", "controls", "keys", "bills", "speech")

WATCH = Page(
    "watch.html",
    _STYLES,
    (*_BOARD, *_RECORDS, *_TIMELINE, "chart", "header", *_CONTROL, "source", "runs", "main"),
)
"""Recordings: those that it carries as data, or those of its server."""

COMPARE = Page("compare.html", (*_STYLES, "compare"), (*_BOARD, "compare"))
"""How two runs differ."""


def as_json(value: object) -> str:
    """JSON that can stand in a script element: no `<`, so it cannot end it."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _carried(name: str, text: str) -> str:
    return f'<script type="text/plain" id="{name}">{text}</script>\n'


@cache
def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
