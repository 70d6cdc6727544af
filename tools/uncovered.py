"""What the tests leave uncovered: `make coverage` measures, this prints; see CONTRIBUTING.md.

`tools/uncovered.toml` names what cannot run on every machine, or need not, and says why: function
by function, so that the list stays true when lines move. Everything else that is uncovered is
printed, and which named functions are gone, or covered on this machine. Fails under the least
share.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NAMED = ROOT / "tools" / "uncovered.toml"
COUNTED = {
    "lines": ("covered_lines", "num_statements"),
    "branches": ("covered_branches", "num_branches"),
}
LEAST = 97.0  # percent of the lines, and of the branches


@dataclass(frozen=True)
class Gap:
    """The uncovered lines and branches of one function; of a module's own lines under `""`."""

    file: str
    function: str
    lines: tuple[int, ...]
    branches: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        branches = [f"{here}->{'end' if there < 0 else there}" for here, there in self.branches]
        first = min([*self.lines, *(here for here, _ in self.branches)])
        parts = ", ".join(_ranges(self.lines) + branches)
        return f"{self.file}:{first} {self.function or 'the module'}: {parts}"


def _ranges(lines: tuple[int, ...]) -> list[str]:
    """Lines that follow each other as one range: `3-5`."""
    found: list[list[int]] = []
    for line in lines:
        if found and line == found[-1][-1] + 1:
            found[-1].append(line)
        else:
            found.append([line])
    return [str(each[0]) if len(each) == 1 else f"{each[0]}-{each[-1]}" for each in found]


def gaps(measured: dict[str, Any]) -> Iterator[Gap]:
    """Every function with a line or a branch that no test ran, from coverage's JSON report."""
    for file, of_file in sorted(measured["files"].items()):
        for function, of_function in of_file["functions"].items():
            lines = tuple(of_function["missing_lines"])
            branches = tuple(
                (here, there)
                for here, there in of_function["missing_branches"]
                if here not in lines and there not in lines
            )
            if lines or branches:
                yield Gap(file, function, lines, branches)


def named(file: Path = NAMED) -> dict[tuple[str, str], str]:
    """Why a function may stay uncovered, by its file and name."""
    entries = tomllib.loads(file.read_text()).get("uncovered", [])
    return {(e["file"], function): e["why"] for e in entries for function in e["functions"]}


def report(measured: dict[str, Any], reasons: dict[tuple[str, str], str]) -> Iterator[str]:
    """A line for each gap that has no reason, then the named ones by reason, then shares."""
    found = list(gaps(measured))
    for gap in found:
        if (gap.file, gap.function) not in reasons:
            yield str(gap)
    for why in sorted(set(reasons.values())):
        of_reason = [gap for gap in found if reasons.get((gap.file, gap.function)) == why]
        yield f"{why}:"
        yield from (f"    {gap}" for gap in of_reason)
    for package, counts in {**of_packages(measured), "all": measured["totals"]}.items():
        text = " and ".join(
            f"{share:.1f} % of the {what}" for what, share in shares(counts).items()
        )
        yield f"{package}: {text}"


def of_packages(measured: dict[str, Any]) -> dict[str, Counter[str]]:
    """What coverage counted, summed for each of the folders at the top."""
    found: dict[str, Counter[str]] = {}
    for file, of_file in sorted(measured["files"].items()):
        counts = {name: of_file["summary"][name] for names in COUNTED.values() for name in names}
        found.setdefault(Path(file).parts[0], Counter()).update(counts)
    return found


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Percent of the lines that were run, and of the branches that were taken."""
    return {
        what: 100 * counts[covered] / (counts[every] or 1)
        for what, (covered, every) in COUNTED.items()
    }


def stale(measured: dict[str, Any], reasons: dict[tuple[str, str], str]) -> list[str]:
    """Named functions that are gone, or in which nothing is uncovered any more."""
    found = {(gap.file, gap.function) for gap in gaps(measured)}
    return [f"{file}: {function}" for file, function in reasons if (file, function) not in found]


def _coverage(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=True)


def main() -> None:
    """Combine what the processes measured, and print it."""
    _coverage("combine", "-q")
    file = ROOT / "build" / "coverage.json"
    _coverage("json", "-q", "-o", str(file))
    measured, reasons = json.loads(file.read_text()), named()
    print(*report(measured, reasons), sep="\n")
    if gone := stale(measured, reasons):
        print("tools/uncovered.toml names what is covered or gone:", *gone, sep="\n    ")
    if min(shares(measured["totals"]).values()) < LEAST:
        raise SystemExit(f"allowed: at least {LEAST} % of each")


if __name__ == "__main__":
    main()
