"""Draw `docs/scaling.svg` from `results/scaling.json`: `python benchmarks/curves.py`.

Three curves on the same logarithmic axes: the time of a batch against a growing number.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "scaling.json"
CHART = ROOT / "docs" / "scaling.svg"
TITLES = {
    "handlers": "handlers called in each batch",
    "batches": "batches in a fit",
    "trainers": "trainers that take turns",
}
WIDTH, HEIGHT, LEFT, TOP, APART = 200, 160, 56, 64, 252
LEAST, MOST = 0.5, 200.0  # µs
TICKS = (1, 10, 100)
STYLE = """
:root { --text: #24292f; --faint: #d0d7de; --line: #0969da; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --faint: #30363d; --line: #58a6ff; }
}
text { font: 12px system-ui, sans-serif; fill: var(--text); }
.title { font-weight: 700; }
.tick { stroke: var(--faint); }
.curve { fill: none; stroke: var(--line); stroke-width: 2; }
.point { fill: var(--line); }
"""


def chart(results: dict[str, Any]) -> str:
    """The SVG: a panel for each curve, with the exponent of its total."""
    width, height = LEFT + APART * len(TITLES), TOP + HEIGHT + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>What the engine takes of a training batch, as its number of handlers, of batches "
        "and of trainers grows</title>",
        f"<style>{STYLE}</style>",
        f'<text x="{LEFT - 44}" y="{TOP - 44}">µs a batch</text>',
    ]
    for number, name in enumerate(TITLES):
        parts += _panel(name, results[name], LEFT + APART * number)
    return "\n".join([*parts, "</svg>", ""])


def _panel(name: str, found: dict[str, Any], left: float) -> list[str]:
    counts = [int(count) for count in found["us_a_batch"]]
    costs = list(found["us_a_batch"].values())
    scale = WIDTH / math.log(counts[-1] / counts[0])
    across = [left + scale * math.log(n / counts[0]) for n in counts]
    points = [(x, _height(us)) for x, us in zip(across, costs, strict=True)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return [
        f'<text class="title" x="{left}" y="{TOP - 22}">{TITLES[name]}</text>',
        f'<text x="{left}" y="{TOP - 6}">the total grows as n'
        f'<tspan dy="-4" font-size="9">{found["slope"]:.2f}</tspan></text>',
        *(part for tick in TICKS for part in _tick(tick, left)),
        f'<polyline class="curve" points="{line}"/>',
        *(f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in points),
        *_told(points[0], counts[0], costs[0], "start"),
        *_told(points[-1], counts[-1], costs[-1], "end"),
    ]


def _told(point: tuple[float, float], count: int, us: float, anchor: str) -> list[str]:
    """The labels of one end of a curve: the time above it, the number below it."""
    x, y = point
    return [
        f'<text x="{x:.1f}" y="{y - 10:.1f}" text-anchor="{anchor}">{us:.3g}</text>',
        f'<text x="{x:.1f}" y="{TOP + HEIGHT + 20}" text-anchor="{anchor}">{count:,}</text>',
    ]


def _tick(us: float, left: float) -> list[str]:
    y = _height(us)
    return [
        f'<line class="tick" x1="{left}" x2="{left + WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>',
        f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{us}</text>',
    ]


def _height(us: float) -> float:
    return TOP + HEIGHT * math.log(MOST / us) / math.log(MOST / LEAST)


def main() -> None:
    CHART.write_text(chart(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
