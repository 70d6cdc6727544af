"""The HTML pages: each is built from its parts into one file that loads nothing else."""

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
    """One HTML file with an inline style sheet and an inline script.

    Args:
        template: the HTML, with placeholders; like the parts, a path in `assets`.
        styles, scripts: the parts of both, in the order in which they are concatenated.
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
        """The complete file.

        Args:
            title: of the window, until the script sets another.
            data: texts to embed, by the id of their element.
        """
        parts = {
            "policy": html.escape(self.policy, quote=True),
            "title": html.escape(title),
            "style": self._style,
            "script": self._script,
            "data": "".join(_data_element(name, text) for name, text in (data or {}).items()),
        }
        return re.sub(
            r"<!--(\w+)-->|/\*=(\w+)=\*/",
            lambda placeholder: parts[placeholder[1] or placeholder[2]],
            _asset(self._template),
        )

    @cached_property
    def _style(self) -> str:
        return "\n".join(_asset(f"css/{name}.css") for name in self._styles)

    @cached_property
    def _script(self) -> str:
        return "\n".join(_asset(f"{name}.js") for name in self._scripts)


_STYLES = ("theme", "header", "panels", "board", "curves", "runs", "pictures", "timeline", "layout")
_BOARD = (
    "shell/dom",
    "data/number_format",
    "data/spread",
    "data/phase_labels",
    "data/symbol_table",
    "board/board_graph",
    "board/phase_board",
    "board/arrow_paths",
    "board/arrows",
    "panels/table",
    "results/run_comparison",
)
_RECORDS = (
    "data/record_accumulator",
    "data/record_store",
    "data/event_series",
    "data/totals",
    "data/step_counter",
)
_TIMELINE = (
    "timeline/canvas",
    "timeline/lanes",
    "timeline/lane_drawing",
    "timeline/curve_drawing",
    "timeline/overview",
    "timeline/timeline_view",
    "timeline/controls",
)
_RUNS = ("results/run_columns", "results/run_table", "results/run_panel")
_CURVES = ("curves/metric_points", "curves/metric_picture", "curves/metric_curves")
_PICTURES = (
    "pictures/example_cards",
    "pictures/confusion_table",
    "pictures/picture_panel",
)
_PANELS = (
    "panels/header",
    "panels/time_shares",
    "panels/cost_tables",
    "panels/rank_tables",
    "panels/fact_list",
    "panels/process_load",
    "panels/captions",
)
_SAVED_BOARD = (
    "downloads/svg_canvas",
    "downloads/board_svg",
    "downloads/picture_buttons",
    "shell/colours",
)
_DOWNLOADS = (
    "downloads/table_svg",
    "downloads/tables_csv",
    "downloads/downloads",
)
_SHELL = (
    "shell/keyboard",
    "shell/announcer",
    "shell/view_switch",
    "shell/loading_progress",
    "data/recording_source",
    "panels/recording_list",
    "shell/app",
)

WATCH = Page(
    "shell/watch.html",
    _STYLES,
    (
        *(*_BOARD, *_RECORDS, *_TIMELINE, *_RUNS, *_CURVES, *_PICTURES, *_PANELS),
        *(*_SAVED_BOARD, *_DOWNLOADS, *_SHELL),
    ),
)
"""Shows recordings: those embedded in it, or those of its server."""

COMPARE = Page(
    "shell/compare.html", (*_STYLES, "compare"), (*_BOARD, *_SAVED_BOARD, "shell/compare_page")
)
"""Shows the differences between two runs."""


def as_json(value: object) -> str:
    """JSON for a script element. It has no `<`, so it cannot close the element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _data_element(name: str, text: str) -> str:
    return f'<script type="text/plain" id="{name}">{text}</script>\n'


@cache
def _asset(path: str) -> str:
    return (files(__package__) / "assets" / path).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
