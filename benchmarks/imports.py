"""What an import takes beside torch: `python benchmarks/imports.py`, or `make bench`.

CPU time of the statement in a process of its own that has imported torch; medians over processes.
The first process of each, which may compile the sources, is ignored; the others read what it wrote.

Before the clock starts the process collects garbage once. Else Python does so within the next
thousands of objects, whoever makes them, and walks through all of torch's: that time is measured
apart. `weight.py` measures the imports of other libraries in the same way.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

import result_files

STATEMENTS = {
    "import trackside": "import trackside",
    "from trackside import Trainer": "from trackside import Trainer",
    "import trackside.events": "import trackside.events",
    "import trackside.engine": "import trackside.engine",
}
COLLECTION = "a collection of torch's objects"
NOT_COMPILED = "PYTHONDONTWRITEBYTECODE"
PROGRAM = """
import gc, time, torch
begun = time.process_time()
gc.collect()
collected = time.process_time()
{}
print(collected - begun, time.process_time() - collected)
"""


def milliseconds(statement: str, python: str = sys.executable) -> float:
    """CPU time of a statement in a new process, after the import of torch and a collection."""
    return both_milliseconds(statement, python)[1]


def both_milliseconds(statement: str, python: str = sys.executable) -> tuple[float, float]:
    """CPU time of a collection after the import of torch, and of a statement after that."""
    program = [python, "-c", PROGRAM.format(statement)]
    kept = {name: value for name, value in os.environ.items() if name != NOT_COMPILED}
    done = subprocess.run(program, env=kept, capture_output=True, text=True, check=True)
    collection, spent = map(float, done.stdout.split()[-2:])
    return collection * 1e3, spent * 1e3


def measured(rounds: int) -> dict[str, dict[str, float]]:
    """The median, the least and the most of each statement; the rounds alternate."""
    taken: dict[str, list[float]] = {COLLECTION: [], **{name: [] for name in STATEMENTS}}
    for number in range(rounds + 1):
        for name, statement in STATEMENTS.items():
            collection, spent = both_milliseconds(statement)
            if number:
                taken[name].append(spent)
                taken[COLLECTION].append(collection)
    return {
        name: {"median": statistics.median(ms), "least": min(ms), "most": max(ms)}
        for name, ms in taken.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="write results/imports.json")
    arguments = parser.parse_args()
    figures = measured(arguments.rounds)
    for name, found in figures.items():
        print(f"{name:32} {found['median']:6.1f} ms ({found['least']:.1f} to {found['most']:.1f})")
    if arguments.write:
        result_files.write("imports", {"cpu_ms": figures})


if __name__ == "__main__":
    main()
