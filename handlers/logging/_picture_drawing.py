"""Draw pictures as one image, by Pillow, for loggers that show images; or as rows of texts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...events.pictures import Confusion, Example, Examples, Picture

_EDGE = 128
_LINE = 15
_MOST_LINES = 6
_CHARACTERS = 20
_GAP = 8
_INK, _SOFT, _WRONG, _PAPER, _BLUE = "#17212e", "#566578", "#b3151b", "#ffffff", (37, 99, 235)


def has_images(picture: Examples) -> bool:
    """Whether they are drawn; else they are written as rows of texts."""
    return any(isinstance(part, bytes) for one in picture.examples for part in one[:3])


class Table(NamedTuple):
    """The texts of examples; each row has a cell for each column."""

    columns: list[str]
    rows: list[list[str | float | None]]


def picture_table(picture: Examples) -> Table:
    """The texts of each example; the loss if one of them has it."""
    table = Table(
        ["input", "prediction", "target"], [[*map(_text, e[:3])] for e in picture.examples]
    )
    if any(one.loss is not None for one in picture.examples):
        table.columns.append("loss")
        for row, one in zip(table.rows, picture.examples, strict=True):
            row.append(one.loss)
    return table


def confusion_cells(picture: Confusion) -> list[list[str | int]]:
    """Target, prediction and count of each cell."""
    return [
        [target, prediction, count]
        for target, counts in zip(picture.classes, picture.counts, strict=True)
        for prediction, count in zip(picture.classes, counts, strict=True)
    ]


def markdown_rows(picture: Examples) -> str:
    """The rows as a table of Markdown; what could be markup in a text is escaped."""
    columns, rows = picture_table(picture)
    lines = [columns, ["---"] * len(columns), *(map(_markdown, row) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def draw_picture(picture: Picture) -> Any:
    """An image of Pillow, RGB. Cost: some milliseconds for each ten examples.

    Raises:
        ImportError: Pillow is not installed.
    """
    return _drawn_counts(picture) if isinstance(picture, Confusion) else _drawn_grid(picture)


def numpy_pixels(image: Any) -> Any:
    """An image of Pillow as an array of NumPy `(H, W, C)`."""
    import numpy  # noqa: PLC0415  # what TensorBoard brings

    return numpy.asarray(image)


def caption(one: Example) -> str:
    """What is said under the image of an example."""
    texts = [
        f"{name}: {value}"
        for name, value in zip(("prediction", "target"), one[1:3], strict=True)
        if isinstance(value, str) and value
    ]
    return "\n".join([*texts, *([] if one.loss is None else [f"loss: {one.loss:.4g}"])])


def _text(value: str | bytes) -> str:
    return "(image)" if isinstance(value, bytes) else value


def _markdown(value: str | float | None) -> str:
    if not isinstance(value, str):
        return "" if value is None else f"{value:.4g}"
    plain = value.replace("\\", "\\\\").replace("&", "&amp;").replace("<", "&lt;")
    for mark in "|*_`[]":
        plain = plain.replace(mark, f"\\{mark}")
    return plain.replace("\n", "<br>")


def _new_image(width: int, height: int) -> tuple[Any, Any]:
    """An empty image, and what draws on it."""
    from PIL import Image, ImageDraw  # noqa: PLC0415  # an extra

    image = Image.new("RGB", (width, height), _PAPER)
    return image, ImageDraw.Draw(image)


def _drawn_grid(picture: Examples) -> Any:
    cells = [_drawn_example(one) for one in picture.examples]
    columns = max(1, min(len(cells), 8 if cells[0].width <= _EDGE + 2 else 3)) if cells else 1
    width, height = (
        max((getattr(c, side) for c in cells), default=1) for side in ("width", "height")
    )
    rows = -(-len(cells) // columns)
    image, _ = _new_image(columns * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        image.paste(cell, (_GAP + column * (width + _GAP), _GAP + row * (height + _GAP)))
    return image


def _drawn_example(one: Example) -> Any:
    """Its images beside each other, and its texts below them."""
    images = [fitted_image(part) for part in one[:3] if isinstance(part, bytes)]
    first = [one.input] if isinstance(one.input, str) and one.input else []
    lines = _wrapped("\n".join([*first, caption(one)]))
    image, draw = _new_image(
        max(1, len(images)) * (_EDGE + 2), _EDGE * bool(images) + _LINE * len(lines)
    )
    for place, part in enumerate(images):
        image.paste(part, (place * (_EDGE + 2), 0))
    ink = _WRONG if one.is_right is False else _INK
    for number, line in enumerate(lines):
        draw.text((0, _EDGE * bool(images) + number * _LINE), line, fill=ink, font=_font())
    return image


def fitted_image(png: bytes) -> Any:
    """The image as large as its place; a small one keeps its pixels."""
    from PIL import Image  # noqa: PLC0415  # an extra

    found = Image.open(io.BytesIO(png)).convert("RGB")
    factor = _EDGE / max(found.size)
    size = [max(1, round(edge * factor)) for edge in found.size]
    return found.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BILINEAR)


def _wrapped(text: str) -> list[str]:
    lines = [
        line[start : start + _CHARACTERS]
        for line in text.splitlines()
        for start in range(0, max(1, len(line)), _CHARACTERS)
    ]
    return lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES - 1], "…"]


def _drawn_counts(picture: Confusion) -> Any:
    """Rows are targets, columns predictions; a ground as strong as its share of the row."""
    cell = 34 if len(picture.classes) <= 20 else 26
    names = [name if len(name) <= 14 else f"{name[:13]}…" for name in picture.classes]
    left = 12 + max((round(_font().getlength(name)) for name in names), default=0) + _LINE
    side = left + cell * len(names)
    image, draw = _new_image(max(side + _GAP, 160), side + _GAP)
    draw.text((left, 0), "prediction", fill=_SOFT, font=_font())
    draw.text((2, left - 2 * _LINE), "target", fill=_SOFT, font=_font())
    for row, (name, counts) in enumerate(zip(names, picture.counts, strict=True)):
        top = left + row * cell
        draw.text((left - 6, top + cell // 2), name, fill=_INK, font=_font(), anchor="rm")
        _draw_upright(image, name, (left + row * cell, _LINE), (cell, left - _LINE - 4))
        _draw_counts(draw, counts, left, top, cell)
    return image


def _draw_counts(draw: Any, counts: Sequence[int], left: int, top: int, cell: int) -> None:
    total = max(sum(counts), 1)
    for column, count in enumerate(counts):
        x, share = left + column * cell, count / total
        ground = tuple(round(255 + (tone - 255) * share) for tone in _BLUE)
        draw.rectangle((x, top, x + cell - 2, top + cell - 2), fill=ground, outline="#d9e0e8")
        if count:
            ink = _PAPER if share > 0.5 else _INK
            draw.text(
                (x + cell // 2, top + cell // 2), _short(count), fill=ink, font=_font(), anchor="mm"
            )


def _draw_upright(image: Any, name: str, at: tuple[int, int], size: tuple[int, int]) -> None:
    """Write the name of a column from bottom to top."""
    text, draw = _new_image(size[1], size[0])
    draw.text((0, size[0] // 2), name, fill=_INK, font=_font(), anchor="lm")
    image.paste(text.rotate(90, expand=True), at)


def _short(count: int) -> str:
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"


def _font() -> Any:
    from PIL import ImageFont  # noqa: PLC0415  # an extra

    return ImageFont.load_default(11)
