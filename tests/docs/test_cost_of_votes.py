"""The table of what votes of many ranks would cost follows from the formula beside it."""

import math
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "distributed.md"
ROUND = 0.1 + 0.05  # ms: two messages and the latency that the page assumes
MS = {"ms": 1, "s": 1000}
ROWS = re.findall(r"^\| ([\d,]+) \| (\d+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)


def milliseconds(cell):
    number, unit = cell.split()
    return float(number) * MS[unit]


@pytest.mark.parametrize(("ranks", "rounds", "times"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_of_the_model_follows_from_its_formula(ranks, rounds, times):
    number = int(ranks.replace(",", ""))
    assert int(rounds) == math.ceil(math.log2(number))
    vote = int(rounds) * ROUND
    ring = 2 * (number - 1) * ROUND
    expected = [vote, 100 * vote, 100 * (vote - ROUND), ring]
    assert list(map(milliseconds, times.split(" | "))) == pytest.approx(expected, rel=0.03)


def test_the_model_goes_from_8_to_16384_ranks():
    assert [ROWS[0][0], ROWS[-1][0]] == ["8", "16,384"]
