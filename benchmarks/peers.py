"""Training libraries beside the bare loop, in one run: `python benchmarks/peers.py`.

Each contender (a file of `peers/`, whose docstring says how to add one) runs in its own process and
environment, which this script creates on first use: about 3 GB in `.peers/`. Rounds alternate,
A B C … A B C …, one thread each, with the same seeds and the same precomputed batches. Inside a
round, the bare loop runs each stretch of batches on its own model right before the contender does;
so both halves of a pair see a similar load of the machine.

Settings: `bare`, with every option off; `equipped`, with a progress bar (on a pseudo terminal),
running loss, accuracy, a callback before and after each batch, a schedule and gradient clipping.

Writes `results/peers.json`; figures that are not measured this time are kept.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from itertools import product
from typing import Any

from contender import Contender, DiedError, Pairs, import_ms
from environments import CACHE, HERE, contenders, installed, version
from machine import described

RESULTS = HERE / "results" / "peers.json"
PARTS = ("imports", "bare", "equipped")
WORKS = ("mlp", "convnet", "transformer")
IMPORTS = 3
OWN = {"trackside.events": "trackside", "trackside.engine": "trackside"}


def summary(rounds: list[Pairs]) -> dict[str, Any]:
    """Summarize the medians of the rounds; the first pair of each round warms up and is ignored."""
    over = [statistics.median(own - bare for own, bare in pairs[1:]) for pairs in rounds]
    ratios = [statistics.median(own / bare for own, bare in pairs[1:]) for pairs in rounds]
    bare = [statistics.median(bare for _, bare in pairs[1:]) for pairs in rounds]
    return {
        "us_over_bare": _spread(over),
        "ratio": _spread(ratios),
        "bare_us": statistics.median(bare),
        "rounds": len(rounds),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure(work: str, setting: str, names: list[str], rounds: int) -> dict[str, Any]:
    """Measure all contenders on one work in one setting, relative to `by_hand`."""
    running = {name: Contender(name, setting, work) for name in names}
    results: dict[str, Any] = {}
    for number in range(rounds + 1):
        for name, contender in list(running.items()):
            try:
                if number < rounds:
                    contender.round()
                else:
                    results[name] = {**summary(contender.rounds), **contender.end()}
            except DiedError as died:
                results[name] = {"failed": str(died)}
                del running[name]
        print(f"{work}, {setting}: round {number} of {rounds}", file=sys.stderr)
    return {name: _beside(result, results["by_hand"]) for name, result in results.items()}


def _beside(result: dict[str, Any], by_hand: dict[str, Any]) -> dict[str, Any]:
    """A result, with its comparison to the hand-written loop in the same setting."""
    if "failed" in result:
        return result
    return {
        **{key: value for key, value in result.items() if key != "weights"},
        "ratio_to_by_hand": result["ratio"]["median"] / by_hand["ratio"]["median"],
        "peak_mb_over_by_hand": result["peak_mb"] - by_hand["peak_mb"],
        "weights_equal": result["weights"] == by_hand["weights"],
    }


def imports(modules: dict[str, str]) -> dict[str, Any]:
    """Milliseconds to import each module after torch, in fresh processes that alternate.

    `modules`: maps each module to the contender in whose environment it is installed.
    """
    taken: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(IMPORTS):
        for module, name in modules.items():
            taken[module].append(import_ms(name, module))
    return {module: _spread(times) for module, times in taken.items()}


def _write(results: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--works", nargs="+", default=WORKS, choices=WORKS)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--only", nargs="+", default=contenders(), choices=contenders())
    arguments = parser.parse_args()
    names, refused = installed(sorted({"by_hand", *arguments.only}))
    python = CACHE / "by_hand" / "bin" / "python"
    subprocess.run([python, HERE / "works.py"], check=True)

    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept["not_installed"] = refused
    kept.setdefault("versions", {}).update({name: version(name) for name in names})
    machines = kept.setdefault("machines", {})
    parts = list(arguments.parts)
    if "imports" in parts:
        parts.remove("imports")
        modules = {f"peers.{name}": name for name in names} | OWN
        kept.setdefault("import_ms", {}).update(imports(modules))
        machines["imports"] = described()
        _write(kept)
    measured = kept.setdefault("measured", {})
    for work, setting in product(arguments.works, parts):
        found = measure(work, setting, names, arguments.rounds)
        measured.setdefault(work, {}).setdefault(setting, {}).update(found)
        machines[f"{work}, {setting}"] = described()
        _write(kept)


if __name__ == "__main__":
    main()
