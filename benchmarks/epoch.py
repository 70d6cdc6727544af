"""A whole epoch beside what people write, in one run: `python benchmarks/epoch.py`.

Ours with our loader, and each peer with the loader that its users use, beside the hand-written loop
over torch's `DataLoader`, on the datasets of `epoch_works.py`. Each contender runs in its own
process and environment (see `peers.py`); rounds alternate between them, and in each the
hand-written epoch and the contender's take turns. The first round warms up and is ignored.

Writes `results/epoch.json`; figures that are not measured this time are kept.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from typing import Any

from contender import Contender, DiedError, Pairs
from environments import CACHE, HERE, installed, make, version
from result_files import loaded_machine

RESULTS = HERE / "results" / "epoch.json"
CONTENDERS = ("trackside", "fastai", "ignite", "keras", "lightning", "skorch")
WORKS = ("mlp", "convnet", "images", "text")


def measure(work: str, names: list[str], rounds: int) -> dict[str, Any]:
    """The results of all contenders on one work."""
    running = {name: Contender(name, "epoch", work, "epoch_worker.py") for name in names}
    results: dict[str, Any] = {}
    for number in range(rounds + 2):
        for name, contender in list(running.items()):
            try:
                if number <= rounds:
                    contender.round()
                else:
                    results[name] = summary([pair for (pair,) in contender.rounds[1:]])
            except DiedError as died:
                results[name] = {"failed": str(died)}
                del running[name]
        print(f"{work}: round {number} of {rounds}", file=sys.stderr)
    return results


def summary(pairs: Pairs) -> dict[str, Any]:
    """The median of the ratios of the pairs, their quartiles, and both medians in seconds."""
    ratios = [own / by_hand for own, by_hand in pairs]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    own, by_hand = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "ratio": median,
        "quartiles": [low, high],
        "seconds": own,
        "by_hand_seconds": by_hand,
        "pairs": len(pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--works", nargs="+", default=WORKS, choices=WORKS)
    parser.add_argument("--only", nargs="+", default=CONTENDERS, choices=CONTENDERS)
    arguments = parser.parse_args()
    names, refused = installed(arguments.only)
    make("by_hand")
    python = CACHE / "by_hand" / "bin" / "python"
    for script in ("works.py", "epoch_works.py"):
        subprocess.run([python, HERE / script], check=True)

    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept["not_installed"] = refused
    kept.setdefault("versions", {}).update({name: version(name) for name in names})
    for work in arguments.works:
        found = measure(work, names, arguments.rounds)
        kept.setdefault("measured", {}).setdefault(work, {}).update(found)
        kept.setdefault("machines", {})[work] = loaded_machine()
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
