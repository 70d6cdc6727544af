"""The table of a study as an HTML file that loads nothing, with a plot of the differences."""

from __future__ import annotations

from html import escape
from pathlib import Path

from ..output.output_files import write_atomically
from .difference_plot import difference_plot
from .rich_table import HEADS, cells, explanation
from .study_result import StudyResult

_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#17212e, #e4eaf2);
  --paper: light-dark(#f3f5f8, #0c1118); --soft: light-dark(#566578, #93a2b5);
  --line: light-dark(#d9e0e8, #273344); --accent: light-dark(#0b66d6, #5aa9ff);
  --alarm: light-dark(#b3151b, #ff6b63) }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink);
  background: var(--paper); font: 14px/1.5 system-ui, sans-serif;
  font-variant-numeric: tabular-nums }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap }
th { color: var(--soft); font-weight: 600 } th:first-child, td:first-child { text-align: left }
p, li { color: var(--soft) } summary { color: var(--alarm) } pre { overflow-x: auto }
svg { width: 100%; height: auto } svg text { fill: var(--ink); font-size: 13px }
.axis { stroke: var(--line) } .zero { stroke: var(--soft); stroke-dasharray: 4 3 }
.bar { stroke: var(--accent); stroke-width: 3 } .mean { fill: var(--accent) }
.fit { fill: none; stroke: var(--soft) } svg .soft { fill: var(--soft) }
"""


def write_study_page(study: StudyResult, path: Path) -> None:
    """Write the page; texts of the study are only text in it.

    Raises:
        OSError: `path` cannot be written.
    """
    html = study_html(study)
    write_atomically(path, lambda temporary: temporary.write_text(html, encoding="utf-8"))


def study_html(study: StudyResult) -> str:
    """The complete file."""
    title = escape(f"{study.metric} of {study.factory}")
    return "\n".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width">',
            f"<title>{title}</title><style>{_STYLE}</style><main><h1>{title}</h1>",
            difference_plot(study),
            f'<div class="wide"><table>{_head()}{_body(study)}</table></div>',
            f"<p>{escape(explanation(study))}</p>",
            _notes(study),
            *_failures(study),
            "</main></html>",
        ]
    )


def _head() -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in HEADS)
    return f"<thead><tr>{heads}</tr></thead>"


def _body(study: StudyResult) -> str:
    lines = (
        "".join(f"<td>{escape(text) or '&#8203;'}</td>" for text in cells(line))
        for line in study.lines
    )
    return "<tbody>" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</tbody>"


def _notes(study: StudyResult) -> str:
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in study.notes) + "</ul>"


def _failures(study: StudyResult) -> list[str]:
    return [
        f"<details><summary>{escape(f'{one.label}, seed {one.seed}: {one.reason}')}</summary>"
        f"<pre>{escape(one.error)}</pre></details>"
        for one in study.failures
    ]
