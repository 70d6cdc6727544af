"""Align text in columns."""

from __future__ import annotations

from collections.abc import Sequence


def align_columns(lines: Sequence[Sequence[str]], left: int = 0) -> str:
    """Join lines of cells; the first `left` columns are aligned left, the others right.

    No line ends with spaces. All lines must have the same number of cells.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_join(cells, widths, left) for cells in lines)


def _join(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    return "  ".join(
        cell.ljust(width) if index < left else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()
