"""Draw `docs/epoch.svg` from `results/epoch.json`: `python benchmarks/epoch_chart.py`.

A column for each work, a row for each contender: the time of an epoch with its loader, relative to
the loop and loader written by hand.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from report import NAMES, STYLE

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "epoch.json"
CHART = ROOT / "docs" / "epoch.svg"
ROW, LEFT, TOP, WIDTH, APART = 24, 128, 62, 92, 156
LEAST = 0.6
TEXT_WIDTH = 32
TITLES = {
    "mlp": "MLP, in memory",
    "convnet": "convnet, in memory",
    "images": "images, 2 workers",
    "text": "text, one by one",
}


def chart(results: dict[str, Any]) -> str:
    """The SVG; contenders in the order of the first work."""
    measured = results["measured"]
    works = [work for work in TITLES if work in measured]
    first = measured[works[0]]
    names = sorted(first, key=lambda name: _ratio(first[name]) or math.inf)
    ratios = {(w, n): _ratio(measured[w].get(n)) for w in works for n in names}
    most = max(ratio for ratio in ratios.values() if ratio)
    width, height = LEFT + APART * len(works), TOP + ROW * len(names) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>Time of an epoch with its loader, in times that of the loop by hand over a "
        "DataLoader</title>",
        f"<style>{STYLE}</style>",
    ]
    for row, name in enumerate(names):
        own = ' class="own"' if name == "trackside" else ""
        y = TOP + ROW * (row + 0.5) + 4
        parts.append(
            f'<text{own} x="{LEFT - 12}" y="{y}" text-anchor="end">{NAMES.get(name, name)}</text>'
        )
    for column, work in enumerate(works):
        left = LEFT + APART * column
        parts += _column(TITLES[work], [ratios[work, name] for name in names], left, most)
    return "\n".join([*parts, "</svg>", ""])


def _column(title: str, ratios: list[float | None], left: float, most: float) -> list[str]:
    by_hand = left + _across(1, most)
    parts = [
        f'<text class="own" x="{left}" y="20">{title}</text>',
        f'<path class="tick" d="{_line_beside_texts(ratios, left, most)}"/>',
        f'<text x="{by_hand:.1f}" y="{TOP - 14}" text-anchor="middle">by hand</text>',
    ]
    for row, ratio in enumerate(ratios):
        if ratio:
            x, y = left + _across(ratio, most), TOP + ROW * (row + 0.5)
            parts += [
                f'<circle class="bare" cx="{x:.1f}" cy="{y}" r="5"/>',
                f'<text x="{x + 10:.1f}" y="{y + 4}">{ratio:.2f}</text>',
            ]
    return parts


def _line_beside_texts(ratios: list[float | None], left: float, most: float) -> str:
    """The line of the loop by hand, without the rows in which a number stands on it."""
    by_hand = left + _across(1, most)
    path = f"M{by_hand:.1f} {TOP - 8}V{TOP}"
    for row, ratio in enumerate(ratios):
        text = left + _across(ratio, most) + 10 if ratio else math.inf
        if not text - 2 <= by_hand <= text + TEXT_WIDTH:
            path += f"M{by_hand:.1f} {TOP + ROW * row}v{ROW}"
    return path


def _across(ratio: float, most: float) -> float:
    return WIDTH * math.log(max(ratio, LEAST) / LEAST) / math.log(most / LEAST)


def _ratio(found: dict[str, Any] | None) -> float | None:
    return None if found is None or "failed" in found else found["ratio"]


def main() -> None:
    CHART.write_text(chart(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
