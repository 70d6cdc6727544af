"""Write the tables of docs/reference/costs.md from `results/*.json`: `python benchmarks/costs.py`.

A test checks that they match. A row says by which command its figures were measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "reference" / "costs.md"
PEERS = "trackside", "ignite", "skorch", "lightning", "fastai", "keras"
POINTS = 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000


class Row(NamedTuple):
    """A line of the table."""

    what: str
    measured: str
    aim: str


def is_measured(name: str) -> bool:
    """Whether there is a file of results."""
    return (RESULTS / f"{name}.json").exists()


def read(name: str) -> dict[str, Any]:
    """The content of a file of results."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def costs() -> str:
    """The table of what the engine, a recording, the page and imports cost."""
    made = {name: rows(read(name)) for name, rows in ROWS.items() if is_measured(name)}
    lines = ["| what | measured | aim | by `benchmarks/` |", "|---|---|---|---|"]
    for name, rows in made.items():
        lines += [f"| {row.what} | {row.measured} | {row.aim} | `{name}.py` |" for row in rows]
    return "\n".join([*lines, "", *filter(None, map(_where, made))]) + "\n"


def _where(name: str) -> str:
    """On which machine a file of results was made."""
    machine = read(name).get("machine")
    if machine is None:
        return ""
    load = f", load {machine['load']}" if "load" in machine else ""
    return f"- `{name}.py`: {_described(machine)}{load}"


def _described(machine: dict[str, Any]) -> str:
    return f"{machine['date']}, {machine['processor']}, {machine['cores']} cores"


def _overhead(found: dict[str, Any]) -> list[Row]:
    alone = found["engine alone"]
    relative = {
        "": found["beside the bare loop"],
        " that announces no step to profilers either": found["beside one that announces nothing"],
    }
    return [
        Row(
            "a training batch of empty work, 8 transitions, no subscriber",
            f"{alone['us_a_batch']:.1f} µs",
            "≤ 5 µs",
        ),
        Row(
            "each receiver called, of 100",
            f"{alone['us_a_receiver_call_of_100']:.2f} µs",
            "≤ 0.25 µs",
        ),
        *(
            Row(
                f"the 32-64-10 MLP at batch 32, relative to the loop by hand{how}, "
                f"{beside['pairs']} pairs",
                "{:.3f} × (quartiles {:.3f} to {:.3f})".format(
                    beside["ratio"], *beside["ratio_quartiles"]
                ),
                "" if how else "≤ 1.02 ×",
            )
            for how, beside in relative.items()
        ),
        Row(
            f"memory that the second half of {spaced(found['memory']['batches'])} batches leaves",
            f"{found['memory']['bytes']} bytes",
            "none",
        ),
    ]


def _anatomy(found: dict[str, Any]) -> list[Row]:
    parts = "cut into functions", "the activities", "the whole engine"
    return [Row(f"that MLP, {name}", f"{found[name]['ratio']:.3f} ×", "") for name in parts]


def _instructions(found: dict[str, Any]) -> list[Row]:
    by_hand, ours = (found[name]["instructions"] for name in ("by hand", "the engine"))
    return [
        Row(
            f"that MLP in processor instructions, {spaced(by_hand)} by hand",
            f"{ours / by_hand:.3f} ×",
            "≤ 1.02 ×",
        )
    ]


def _fused(found: dict[str, Any]) -> list[Row]:
    return [
        Row(
            f"{name} with `Fuse`, after its trial, relative to the loop by hand",
            f"{each['fused']['ratio']:.3f} × (without it {each['plain']['ratio']:.3f})",
            "as without it, or less",
        )
        for name, each in found["measured"].items()
    ]


def _scaling(found: dict[str, Any]) -> list[Row]:
    words = {
        "batches": ("a batch in a fit of {} batches", "linear"),
        "handlers": ("a batch with {} subscribed handlers", "linear"),
        "trainers": ("a batch of {} trainers that take turns in a thread", "flat"),
    }
    rows = []
    for name, (what, aim) in words.items():
        costs = {int(n): us for n, us in found[name]["us_a_batch"].items() if int(n) in POINTS}
        total = f": the total grows with exponent {found[name]['slope']:.2f}"
        measured = ", ".join(f"{us:.1f}" for us in costs.values())
        counts = ", ".join(map(spaced, costs))
        rows.append(Row(what.format(counts) + total, f"{measured} µs", aim))
    return rows


def _charts(found: dict[str, Any]) -> list[Row]:
    names = {"gan": "a GAN's batch of two updates", "language_model": "a language model's batch"}
    return [
        Row(f"{what}, relative to its plain loop", f"{found[name]['ratio']:.3f} ×", "≤ 1.03 ×")
        for name, what in names.items()
    ]


def _imports(found: dict[str, Any]) -> list[Row]:
    aims = {"import trackside": 5, "from trackside import Trainer": 40}
    rows = [
        Row(f"`{name}` beside torch", _spread(found["cpu_ms"][name]), f"≤ {aim} ms")
        for name, aim in aims.items()
    ]
    collection = found["cpu_ms"]["a collection of torch's objects"]
    return [*rows, Row("a collection of garbage after `import torch`", _spread(collection), "")]


def _recorder(found: dict[str, Any]) -> list[Row]:
    left = found["bytes left by the second half"]
    call = found["us a timed receiver call"]["median"]
    return [
        Row("a recorded transition", f"{found['us a transition']['median']:.2f} µs", "≤ 0.6 µs"),
        Row("a timed handler call, recorded", f"{call:.2f} µs", "≤ 1.5 µs"),
        Row(
            f"memory that the second half of {spaced(left['records'])} records leaves",
            f"{left['python']} bytes",
            "none",
        ),
    ]


def _page(found: dict[str, Any]) -> list[Row]:
    measured = f"{found['megabytes']:.1f} MB, {found['seconds until ready']:.1f} s"
    records = spaced(found["records"])
    return [Row(f"a report of {records} records, until it is ready", measured, "≤ 10 MB, ≤ 3 s")]


ROWS: dict[str, Callable[[dict[str, Any]], list[Row]]] = {
    "overhead": _overhead,
    "anatomy": _anatomy,
    "fused": _fused,
    "instructions": _instructions,
    "scaling": _scaling,
    "charts": _charts,
    "imports": _imports,
    "recorder": _recorder,
    "page": _page,
}


def spaced(number: float) -> str:
    """A whole number with a space between groups of three digits."""
    return f"{number:,.0f}".replace(",", " ")


def _spread(found: dict[str, float]) -> str:
    return f"{found['median']:.1f} ms ({found['least']:.1f} to {found['most']:.1f})"


def checkpoints() -> str:
    """The table of how long a save stops training."""
    if not is_measured("checkpoint"):
        return ""
    found = read("checkpoint")
    sizes = [name for name in found if name.endswith(" MB")]
    rows = {
        "`async_save=True`, CPU time beside a plain copy": ("async", "copy", "≤ 2 ×"),
        "at once, beside `torch.save` with an fsync": ("sync", "torch.save", "≤ 1.3 ×"),
        "at once, beside the same that is then renamed, with an fsync of the folder": (
            "sync",
            "renamed",
            "",
        ),
    }
    lines = [f"| | {' | '.join(sizes)} | aim |", "|---|" + "---|" * (len(sizes) + 1)]
    for what, (own, other, aim) in rows.items():
        cells = [
            f"{found[size][f'{own} / {other}']:.2f} × ({found[size][own]:.1f} ms)" for size in sizes
        ]
        lines.append(f"| {what} | {' | '.join(cells)} | {aim} |")
    resume = found["resume"]["ratio"]
    return (
        "\n".join(
            [
                *lines,
                "",
                _where("checkpoint").removeprefix("- ") + ".",
                f"Resuming at batch 1 000 000 takes {resume:.2f} × as long as at batch 10.",
            ]
        )
        + "\n"
    )


def epochs() -> str:
    """The table of an epoch with its loader, relative to the loop and loader written by hand."""
    found = read("epoch")
    works = found["measured"]
    lines = [f"| | {' | '.join(works)} |", "|---|" + "---:|" * len(works)]
    for name in PEERS:
        cells = [_ratio(works[work].get(name)) for work in works]
        lines.append(f"| {f'**{name}**' if name == 'trackside' else name} | {' | '.join(cells)} |")
    where = dict.fromkeys(map(_described, found["machines"].values()))
    pairs = min(row["pairs"] for rows in works.values() for row in rows.values() if "pairs" in row)
    measured = f"{'; '.join(where)}; medians of {pairs} pairs or more, in CPU time."
    return "\n".join([*lines, "", measured]) + "\n"


def _ratio(found: dict[str, Any] | None) -> str:
    if found is None or "failed" in found:
        return "failed" if found else ""
    return f"{found['ratio']:.2f} ×"


def votes() -> str:
    """The table of how long a vote takes, beside gloo's all-reduce of the same numbers."""
    ranks = read("distributed")["ranks"]
    lines = [f"| ranks | {' | '.join(ranks)} |", "|---|" + "---:|" * len(ranks)]
    for name in ("vote", "gloo's all-reduce"):
        cells = [f"{spaced(each['votes'][name]['median_us'])} µs" for each in ranks.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def ranks() -> str:
    """The table of a training batch of two ranks, relative to the DDP loop written by hand."""
    sizes = read("distributed")["ranks"]["2"]["batches"]
    columns = [(size, kind) for size in sizes for kind in ("wall", "processor")]
    heads = [f"{size}, {kind} time" for size, kind in columns]
    lines = [f"| a batch of | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for name in next(iter(sizes.values()))["wall_ratios"]:
        found = [sizes[size][f"{kind}_ratios"][name] for size, kind in columns]
        cells = [f"{f['median']:.2f} × ({_interval(f['median_95'])})" for f in found]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    pairs = min(size["pairs"] for size in sizes.values())
    where = _where("distributed").removeprefix("- ")
    return "\n".join([*lines, "", f"Medians of {pairs} pairs or more; {where}."]) + "\n"


def _interval(found: list[float]) -> str:
    return " to ".join(f"{each:.2f}" for each in found)


def weights() -> str:
    """The table of what `pip install` of each library brings beside torch."""
    if not is_measured("weight"):
        return ""
    found = read("weight")
    rows = sorted(found["libraries"].items(), key=lambda row: row[1]["megabytes"])
    lines = ["| | version | packages | on disk | pip | import |", "|---|---|" + "---:|" * 4]
    units = {"packages": "", "megabytes": " MB", "install_s": " s", "import_ms": " ms"}
    for name, row in rows:
        shown = f"**{name}**" if name.startswith("trackside") else name
        cells = [f"{row[key]:.0f}{unit}" if key in row else "" for key, unit in units.items()]
        lines.append(f"| {shown} | {row['version']} | {' | '.join(cells)} |")
    where = f"{found['torch']}; {_where('weight').removeprefix('- ')}."
    return "\n".join([*lines, "", where]) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "costs": costs,
    "checkpoints": checkpoints,
    "epochs": epochs,
    "votes": votes,
    "ranks": ranks,
    "weights": weights,
}
MARKS = {
    name: (f"<!-- {name}: made by `make results` -->\n", f"<!-- end of {name} -->")
    for name in TABLES
}


def with_tables(page: str) -> str:
    """Return the page with new tables."""
    for name, made in TABLES.items():
        begin, end = MARKS[name]
        before, _, rest = page.partition(begin)
        page = before + begin + made() + end + rest.partition(end)[2]
    return page


def main() -> None:
    PAGE.write_text(with_tables(PAGE.read_text()))


if __name__ == "__main__":
    main()
