"""Mutation testing of `events/` and `engine/`: `make mutation`; see CONTRIBUTING.md.

Each mutant is one small change of a line. The quick tests that run the line are run with it, in a
forked process; a mutant that no test fails for has survived. `tools/survivors.toml` says of those
that were read why they may: only others are reported. What has been tried is kept in
`build/mutation/`, so that a run that was stopped goes on; a changed module is tried anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from collected_tests import CollectedTests
from mutant_tests import (
    PYTEST,
    Baseline,
    Importing,
    measure_baseline,
    preload,
    start,
    verdict,
)
from mutants import Mutant, mutants_of

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "mutation"
SURVIVORS = ROOT / "tools" / "survivors.toml"
TESTS = ["tests/events", "tests/engine", "tests/test_front_door.py"]
LEAST = 90.0  # percent killed, of all that are not judged to be equivalent
KILLED = ("killed", "time limit")
SURVIVED = ("survived", "no test")
Key = tuple[str, str, str, str]


class Results:
    """What has been tried: a line of JSON a mutant, with the digest of its module."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.verdicts: dict[tuple[str, Key], str] = {}
        for line in file.read_text().splitlines() if file.exists() else []:
            each = json.loads(line)
            self.verdicts[each["digest"], tuple(each["key"])] = each["verdict"]

    def get(self, digest: str, mutant: Mutant) -> str | None:
        return self.verdicts.get((digest, mutant.key))

    def add(self, digest: str, mutant: Mutant, found: str) -> None:
        self.verdicts[digest, mutant.key] = found
        line = {"digest": digest, "key": mutant.key, "line": mutant.line, "verdict": found}
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")


def judged(file: Path = SURVIVORS) -> dict[Key, str]:
    """Why a survivor may survive, by its key."""
    entries = tomllib.loads(file.read_text()).get("survivor", [])
    return {(e["file"], e["in"], e["was"], e["becomes"]): e["why"] for e in entries}


def left_out(file: Path = SURVIVORS) -> dict[str, str]:
    """Why a module has no mutants here: its tests start processes, which would not have them."""
    return {e["file"]: e["why"] for e in tomllib.loads(file.read_text()).get("module", [])}


def modules(root: Path, paths: list[str], without: Collection[str] = ()) -> list[str]:
    """The modules at or below the paths, as paths from `root`."""
    found = set()
    for path in map(root.joinpath, paths):
        found.update([path] if path.is_file() else path.rglob("*.py"))
    return sorted({str(path.relative_to(root)) for path in found} - set(without))


def drawn(mutants: list[Mutant], share: float, seed: int) -> list[Mutant]:
    """A share of the mutants: those whose text has the smallest digests with this seed.

    So a change of one module leaves the draw of the others as it is. They come in the order of the
    digests: those that a run with a time limit tries are a fair sample, too.
    """

    def place(mutant: Mutant) -> bytes:
        return hashlib.sha256(repr((seed, mutant.key, mutant.line)).encode()).digest()

    return sorted(mutants, key=place)[: round(len(mutants) * share)]


def digest_of(path: str) -> str:
    """A digest of the module as it is now: verdicts of another text of it do not count."""
    return hashlib.sha256((ROOT / path).read_bytes()).hexdigest()[:16]


def try_all(mutants: list[Mutant], baseline: Baseline, file: Path, wanted: Any) -> None:
    """Try those without a verdict, `wanted.jobs` at a time, until `wanted.minutes` are over."""
    ends = time.monotonic() + 60 * wanted.minutes

    known, reasons = Results(file), judged()

    def is_wanted(mutant: Mutant) -> bool:
        found = found_of(mutant, known, reasons)
        return found == "not tried" or (wanted.again and found in SURVIVED)

    def try_some(some: list[Mutant]) -> int:
        importing = Importing(ROOT, baseline)

        def work(collected: CollectedTests) -> None:
            for mutant in some:
                if time.monotonic() < ends:
                    found = verdict(mutant, baseline, collected.run_with)
                    found = importing.verdict(mutant) if found == "survived" else found
                    known.add(digest_of(mutant.path), mutant, found)

        return int(pytest.main([*PYTEST, *wanted.tests], [CollectedTests(ROOT, work)]))

    untried = [mutant for mutant in mutants if is_wanted(mutant)]
    shares = [untried[first :: wanted.jobs] for first in range(wanted.jobs)]
    workers, logs = [], []
    for number, some in enumerate(filter(None, shares)):
        logs.append(FOLDER / f"tests-{number}.txt")
        workers.append(start(partial(try_some, some), 10**6, logs[-1]))
    ends_of = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
    for ended, log in zip(ends_of, logs, strict=True):
        if ended:
            raise SystemExit(f"a process that tries mutants ended with {ended}; see {log}")


def found_of(mutant: Mutant, results: Results, reasons: dict[Key, str]) -> str:
    """What has become of a mutant: its verdict, `judged`, or `not tried`."""
    found = results.get(digest_of(mutant.path), mutant) or "not tried"
    return "judged" if found in SURVIVED and mutant.key in reasons else found


def report(mutants: list[Mutant], results: Results, reasons: dict[Key, str]) -> Iterator[str]:
    """Two lines for each survivor that nobody has judged, one for each module and package."""
    counts: dict[str, Counter[str]] = {}
    for mutant in sorted(mutants, key=lambda mutant: (mutant.path, mutant.line)):
        found = found_of(mutant, results, reasons)
        for counted in {mutant.path, mutant.path.split("/")[0]}:
            counts.setdefault(counted, Counter())[found] += 1
        if found in SURVIVED:
            yield f"{mutant.path}:{mutant.line}: {found}: in {mutant.scope or 'the module'}"
            yield f"    - {mutant.was}\n    + {mutant.becomes}"
    for counted, count in sorted(counts.items()):
        numbers = ", ".join(f"{number} {found}" for found, number in sorted(count.items()))
        yield f"{counted}: {share_killed(count):.1f} % killed; {numbers}"


def stale(mutants: list[Mutant], reasons: dict[Key, str]) -> list[Key]:
    """The judged survivors of these modules that are no mutants any more."""
    keys, paths = {mutant.key for mutant in mutants}, {mutant.path for mutant in mutants}
    return [key for key in reasons if key[0] in paths and key not in keys]


def share_killed(count: Counter[str]) -> float:
    """Percent of those that were tried and are not judged to be equivalent."""
    killed = sum(count[each] for each in KILLED)
    tried = killed + sum(count[each] for each in SURVIVED)
    return 100 * killed / tried if tried else 100.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=["events", "engine"])
    parser.add_argument("--tests", nargs="+", default=TESTS)
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="then stop")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--again", action="store_true", help="also survivors that are not judged")
    return parser.parse_args()


def main() -> None:
    """Try the mutants, and report; fails if fewer are killed than `LEAST` percent."""
    wanted = _arguments()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    FOLDER.mkdir(parents=True, exist_ok=True)
    preload()
    baseline = measure_baseline(ROOT, FOLDER, wanted.tests)
    mutants = [
        each for path in modules(ROOT, wanted.paths, left_out()) for each in mutants_of(ROOT, path)
    ]
    gone = stale(mutants, judged())
    mutants = drawn(mutants, wanted.share, wanted.seed)
    try_all(mutants, baseline, FOLDER / "results.jsonl", wanted)
    results = Results(FOLDER / "results.jsonl")
    print(*report(mutants, results, judged()), sep="\n")
    for key in gone:
        print("tools/survivors.toml names what is no mutant any more:", *key, sep="\n    ")
    if share_killed(Counter(found_of(each, results, judged()) for each in mutants)) < LEAST:
        raise SystemExit(f"allowed: at least {LEAST} %")


if __name__ == "__main__":
    main()
