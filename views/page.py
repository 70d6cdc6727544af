"""The page, assembled from its parts to one file that needs nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

SCRIPTS = (
    "dom",
    "format",
    "colours",
    "names",
    "records",
    "totals",
    "curves",
    "canvas",
    "chart",
    "edges",
    "board",
    "wires",
    "tables",
    "lanes",
    "strokes",
    "plots",
    "overview",
    "header",
    "view",
    "controls",
    "keys",
    "source",
    "runs",
    "main",
)
"""The parts of the script, in the order in which they stand in the page."""


@cache
def policy() -> str:
    """Its Content-Security-Policy: its own script, its own style, its own server, nothing else."""
    script, style = _hash(_script()), _hash(_asset("page.css"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def page(title: str = "trackside", data: Mapping[str, str] | None = None) -> str:
    """The page as HTML.

    Args:
        title: of the window, until the page knows better.
        data: texts that it carries, by name; without any it asks its server.
    """
    parts = {
        "policy": html.escape(policy(), quote=True),
        "title": html.escape(title),
        "style": _asset("page.css"),
        "script": _script(),
        "data": "".join(_carried(name, text) for name, text in (data or {}).items()),
    }
    return re.sub(r"<!--(\w+)-->|/\*=(\w+)=\*/", lambda m: parts[m[1] or m[2]], _asset("page.html"))


def as_json(value: object) -> str:
    """JSON that can stand in a script element: no `<`, so it cannot end it."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _carried(name: str, text: str) -> str:
    return f'<script type="text/plain" id="{name}">{text}</script>\n'


@cache
def _script() -> str:
    return "\n".join(_asset(f"{name}.js") for name in SCRIPTS)


@cache
def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
