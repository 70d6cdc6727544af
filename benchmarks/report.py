"""Draw `docs/peers.svg` and write the tables of the README and of docs/reference/costs.md.

All from `results/peers.json`, but for our own import, which is that of `results/imports.json`.

`python benchmarks/report.py`; a test checks that they match the results.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "peers.json"
IMPORTS = RESULTS.with_name("imports.json")
CHART = ROOT / "docs" / "peers.svg"
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "reference" / "costs.md"
BEGIN, END = "<!-- peers: made by `make results` -->\n", "<!-- end of peers -->"
SHORT_BEGIN, SHORT_END = "<!-- measured: made by `make results` -->\n", "<!-- end of measured -->"
SHORT = "trackside", "lightning", "ignite", "fastai", "keras"

NAMES = {
    "by_hand": "the loop by hand",
    "ignite": "pytorch-ignite",
    "torchtnt": "torchtnt",
    "transformers": "transformers' Trainer",
    "keras": "Keras on torch",
    "lightning": "Lightning",
    "poutyne": "Poutyne",
    "composer": "Composer",
}
SETTINGS = "bare", "equipped"
EQUIPPED = "equipped: bar, running loss, accuracy, callbacks, schedule, clipping"
TICKS = (1, 1.5, 2, 3, 5, 10, 20)
ROW, LEFT, RIGHT, TOP = 24, 170, 640, 58
STYLE = """
:root { --text: #24292f; --faint: #d0d7de; --bare: #0969da; --equipped: #bc4c00; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --faint: #30363d; --bare: #58a6ff; --equipped: #f0883e; }
}
text { font: 13px system-ui, sans-serif; fill: var(--text); }
.tick { stroke: var(--faint); }
.bare { fill: var(--bare); }
.equipped { fill: none; stroke: var(--equipped); stroke-width: 2.5; }
.own { font-weight: 700; }
"""


def ranked(results: dict[str, Any]) -> list[str]:
    """The measured contenders: the hand-written loop, then the fastest first."""
    mlp = results["measured"]["mlp"]["bare"]
    there = [name for name, found in mlp.items() if "failed" not in found]
    return sorted(there, key=lambda name: (name != "by_hand", mlp[name]["ratio"]["median"]))


def chart(results: dict[str, Any]) -> str:
    """A row for each contender: a dot for its bare ratio, a ring for the equipped one."""
    names = ranked(results)
    mlp = results["measured"]["mlp"]
    ratios = {n: [_ratio(mlp[s].get(n)) for s in SETTINGS] for n in names}
    known = [ratio for pair in ratios.values() for ratio in pair if ratio]
    across = partial(_across, min(1, *known), max(known))
    height = TOP + ROW * len(names) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" role="img">',
        "<title>Time of a training batch of the MLP, in times that of the bare loop</title>",
        f"<style>{STYLE}</style>",
        f'<circle class="bare" cx="{LEFT + 6}" cy="16" r="5"/>',
        f'<text x="{LEFT + 18}" y="20">bare</text>',
        f'<circle class="equipped" cx="{LEFT + 76}" cy="16" r="5"/>',
        f'<text x="{LEFT + 88}" y="20">{EQUIPPED}</text>',
    ]
    for tick in (tick for tick in TICKS if tick <= max(known)):
        parts += _tick(tick, across(tick), height)
    for number, name in enumerate(names):
        parts += _row(name, ratios[name], across, TOP + ROW * number + ROW / 2)
    return "\n".join([*parts, "</svg>", ""])


def _across(least: float, most: float, ratio: float) -> float:
    return LEFT + (RIGHT - LEFT) * math.log(ratio / least) / math.log(most / least)


def _tick(ratio: float, x: float, height: int) -> list[str]:
    return [
        f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 12}" y2="{height - 8}"/>',
        f'<text x="{x:.1f}" y="{TOP - 18}" text-anchor="middle">{ratio} ×</text>',
    ]


def _row(
    name: str, ratios: list[float | None], across: Callable[[float], float], y: float
) -> list[str]:
    own = ' class="own"' if name == "trackside" else ""
    told = " and ".join(f"{ratio:.2f}" for ratio in ratios if ratio)
    return [
        f'<text{own} x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{_named(name)}</text>',
        *(
            f'<circle class="{setting}" cx="{across(ratio):.1f}" cy="{y}" r="5"/>'
            for setting, ratio in zip(SETTINGS, ratios, strict=True)
            if ratio
        ),
        f'<text{own} x="{RIGHT + 16}" y="{y + 4}">{told}</text>',
    ]


def table(results: dict[str, Any]) -> str:
    """The whole table: figures, machines, and peers that could not be installed."""
    measured = results["measured"]
    cases = [(work, setting) for work in measured for setting in measured[work]]
    head = ["", "version", *(f"{work}, {setting}" for work, setting in cases)]
    head += ["µs over, mlp bare", "import", "memory", "same weights"]
    lines = [
        f"{results['versions']['by_hand']}, one thread:",
        *_measured_on(results["machines"]),
        "",
        f"| {' | '.join(head)} |",
        "|---|---|" + "---:|" * (len(head) - 3) + "---|",
    ]
    lines += [f"| {' | '.join(_cells(name, results, cases))} |" for name in ranked(results)]
    refused = results["not_installed"].items()
    lines += ["", *(f"Not installed: {_named(name)}, {why}" for name, why in refused)]
    return "\n".join(lines).rstrip() + "\n"


def _measured_on(machines: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each day and machine, with the parts measured then."""
    parts: dict[str, list[str]] = {}
    for part, machine in machines.items():
        day, cores, python = machine["date"], machine["cores"], machine["python"]
        where = f"- {day}, {machine['processor']}, {cores} cores, Python {python}"
        parts.setdefault(where, []).append(part)
    return [f"{where}: {'; '.join(told)}" for where, told in parts.items()]


def _cells(name: str, results: dict[str, Any], cases: list[tuple[str, str]]) -> list[str]:
    measured = results["measured"]
    bare, own = measured["mlp"]["bare"][name], [measured[w][s].get(name) for w, s in cases]
    over, taken = bare["us_over_bare"], import_ms(name, results)
    return [
        f"**{name}**" if name == "trackside" else _named(name),
        results["versions"][name].partition("==")[2],
        *(f"{ratio:.3f} ×" if (ratio := _ratio(found)) else "failed" for found in own),
        f"{over['median']:.1f} ({over['min']:.1f} to {over['max']:.1f})",
        f"{taken:.0f} ms",
        f"{bare['peak_mb_over_by_hand']:+.0f} MB",
        "yes" if all(found["weights_equal"] for found in own if _ratio(found)) else "no",
    ]


def _ratio(found: dict[str, Any] | None) -> float | None:
    if found is None or "failed" in found:
        return None
    ratio: float = found["ratio"]["median"]
    return ratio


def import_ms(name: str, results: dict[str, Any]) -> float:
    """Milliseconds of CPU time that an import takes beside torch."""
    if name == "trackside":
        found = json.loads(IMPORTS.read_text())["cpu_ms"]["from trackside import Trainer"]
    else:
        found = results["import_ms"][f"peers.{name}"]
    median: float = found["median"]
    return median


def _named(name: str) -> str:
    return NAMES.get(name, name)


def short_table(results: dict[str, Any]) -> str:
    """The README's table: a batch of the MLP, bare and equipped, and the import."""
    mlp = results["measured"]["mlp"]
    rows = {
        "a batch of a small MLP, relative to the loop by hand": mlp["bare"],
        "the same with bar, metrics, schedule, clipping": mlp["equipped"],
    }
    lines = [f"| measured | {' | '.join(_named(name) for name in SHORT)} |"]
    lines.append("|---|" + "---:|" * len(SHORT))
    for what, found in rows.items():
        ratios = (_ratio(found[name]) for name in SHORT)
        lines.append(f"| {what} | {' | '.join(f'{r:.2f} ×' if r else 'failed' for r in ratios)} |")
    imports = (import_ms(name, results) for name in SHORT)
    lines.append(f"| import, beside torch | {' | '.join(f'{ms:.0f} ms' for ms in imports)} |")
    return "\n".join(lines) + "\n"


def with_table(page: str, results: dict[str, Any]) -> str:
    """Return the page of costs with a new table."""
    return _between(page, BEGIN, table(results), END)


def with_short_table(readme: str, results: dict[str, Any]) -> str:
    """Return the README with a new table."""
    return _between(readme, SHORT_BEGIN, short_table(results), SHORT_END)


def _between(text: str, begin: str, made: str, end: str) -> str:
    before, _, rest = text.partition(begin)
    return before + begin + made + end + rest.partition(end)[2]


def main() -> None:
    results = json.loads(RESULTS.read_text())
    CHART.write_text(chart(results))
    PAGE.write_text(with_table(PAGE.read_text(), results))
    README.write_text(with_short_table(README.read_text(), results))


if __name__ == "__main__":
    main()
