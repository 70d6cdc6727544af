"""A plot of the differences of a study, as SVG: each seed, the mean, and its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from .study_result import StudyResult
from .study_table import Line

_LABELS, _WIDTH, _ROW, _TOP = 260, 900, 28, 34
_TICKS = 5


class _Scale:
    """Maps differences to places in the picture; 0 is always in it."""

    def __init__(self, values: list[float]) -> None:
        low, high = min([0.0, *values]), max([0.0, *values])
        self.step = _round_step((high - low or 1.0) / _TICKS)
        self.low = math.floor(low / self.step) * self.step
        self.high = math.ceil(high / self.step) * self.step or self.step

    def x(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return _LABELS + share * (_WIDTH - _LABELS - 30)

    def ticks(self) -> list[float]:
        count = round((self.high - self.low) / self.step)
        return [self.low + index * self.step for index in range(count + 1)]


def difference_plot(study: StudyResult) -> str:
    """A row for each variation but the first; empty if there are none with a difference."""
    lines = [line for line in study.lines if line.difference is not None]
    if not lines:
        return ""
    scale = _Scale([value for line in lines for value in _shown(line)])
    height = _TOP + len(lines) * _ROW + 10
    title = f"Difference of {study.metric} from {study.lines[0].variation.label}"
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *_axis(scale, height),
        *(part for row, line in enumerate(lines) for part in _row(line, row, scale)),
        "</svg>",
    ]
    return "\n".join(parts)


def _axis(scale: _Scale, height: int) -> Iterator[str]:
    for tick in scale.ticks():
        x = scale.x(tick)
        kind = "zero" if abs(tick) < scale.step / 2 else "axis"
        yield f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{height}"/>'
        text = "0" if kind == "zero" else f"{tick:+.3g}"
        yield f'<text class="soft" x="{x:.1f}" y="16" text-anchor="middle">{text}</text>'


def _row(line: Line, row: int, scale: _Scale) -> Iterator[str]:
    y = _TOP + row * _ROW + _ROW // 2
    difference = line.difference
    assert difference is not None
    yield f'<text x="0" y="{y + 4}">{escape(line.variation.label)}</text>'
    if difference.low is not None and difference.high is not None:
        low, high = scale.x(difference.low), scale.x(difference.high)
        yield f'<line class="bar" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
    for seed, value in line.differences.items():
        x = f"{scale.x(value):.1f}"
        text = f"seed {seed}: {value:+.4g}"
        yield f'<circle class="fit" cx="{x}" cy="{y}" r="4"><title>{text}</title></circle>'
    yield f'<circle class="mean" cx="{scale.x(difference.mean):.1f}" cy="{y}" r="5"/>'


def _shown(line: Line) -> list[float]:
    bounds = line.difference[1:] if line.difference is not None else ()
    return [*line.differences.values(), *(bound for bound in bounds if bound is not None)]


def _round_step(step: float) -> float:
    """The next larger of 1, 2, 5, 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= step * 0.999)
