"""Pictures as HTML, for notebooks."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape

from ...events.pictures import Confusion, Example, Examples, Picture, Shown

_NAMES = ("input", "prediction", "target", "loss")
_CELL = "border: 1px solid #8884; padding: 4px 8px; text-align: left; vertical-align: top"
_IMAGE = "image-rendering: pixelated; min-width: 64px; max-width: 192px"


def pictures_html(pictures: Mapping[str, Picture]) -> str:
    """Each picture as a table under its name."""
    if not pictures:
        return "<p>no evaluation has ended yet</p>"
    return "".join(
        f"<h4>{escape(name)}</h4>{_picture_html(picture)}" for name, picture in pictures.items()
    )


def _picture_html(picture: Picture) -> str:
    rows = _example_rows(picture) if isinstance(picture, Examples) else _count_rows(picture)
    table = f'<table style="border-collapse: collapse">{rows}</table>'
    return f'<div style="overflow-x: auto">{table}</div>'


def _example_rows(picture: Examples) -> str:
    columns = [name for name in _NAMES if any(_has(one, name) for one in picture.examples)]
    head = "".join(f'<th style="{_CELL}">{name}</th>' for name in columns)
    rows = ("".join(_cell(one, name) for name in columns) for one in picture.examples)
    return f"<tr>{head}</tr>" + "".join(f"<tr>{row}</tr>" for row in rows)


def _has(example: Example, name: str) -> bool:
    return getattr(example, name) not in ("", None)


def _cell(example: Example, name: str) -> str:
    value = getattr(example, name)
    text = "" if value is None else f"{value:.4g}" if name == "loss" else _shown_html(value)
    is_wrong = name == "prediction" and example.is_right is False
    return f'<td style="{_CELL}">{f"<b>✗ {text}</b>" if is_wrong else text}</td>'


def _shown_html(value: Shown) -> str:
    if isinstance(value, str):
        return escape(value).replace("\n", "<br>")
    packed = base64.b64encode(value).decode()
    return f'<img alt="" style="{_IMAGE}" src="data:image/png;base64,{packed}">'


def _count_rows(picture: Confusion) -> str:
    names = [f'<th style="{_CELL}">{escape(name)}</th>' for name in picture.classes]
    head = f'<tr><th style="{_CELL}">target \\ prediction</th>{"".join(names)}</tr>'
    lines = zip(names, picture.counts, strict=True)
    rows = (f"<tr>{name}{''.join(_count_cells(row))}</tr>" for name, row in lines)
    return head + "".join(rows)


def _count_cells(row: tuple[int, ...]) -> list[str]:
    """A row of counts, each on a ground that is as strong as its share of the row."""
    total = max(sum(row), 1)
    ground = "background: rgba(37, 99, 235, {:.2f})"
    return [
        f'<td style="{_CELL}; {ground.format(count / total * 0.7)}">{count or ""}</td>'
        for count in row
    ]
