"""The engine's share of a training batch, in counts, which noise cannot change."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TOLERANCE = 0.05
RENEW = (
    "If the change is worth it, `make guard` records the new figure in benchmarks/guard.json, "
    "and the commit says why; if not, take the cost out again."
)


@pytest.fixture(scope="module")
def counted():
    script = [sys.executable, BENCHMARKS / "guard.py"]
    return json.loads(subprocess.run(script, check=True, capture_output=True, text=True).stdout)


@pytest.fixture(scope="module")
def recorded():
    return json.loads((BENCHMARKS / "guard.json").read_text())


def check_figure(what, counted, recorded):
    assert abs(counted - recorded) <= TOLERANCE * abs(recorded), (
        f"{what} a training batch: {counted:g}, on record {recorded:g}, allowed ± 5 %. {RENEW}"
    )


def figures(what, counted, recorded):
    """What was counted, and what is on record for the same version of Python or torch."""
    ((version, found),) = counted[what].items()
    if version not in recorded[what]:
        pytest.skip(f"no {what} for {version} on record; `make guard` adds them")
    return found, recorded[what][version]


def test_function_calls_of_the_engine_per_batch_match_the_record(counted, recorded):
    found, known = figures("calls", counted, recorded)
    check_figure("calls of the engine in", found["engine"], known["engine"])


def test_instructions_of_the_engine_per_batch_match_the_record(counted, recorded):
    check_figure("instructions in", *figures("instructions", counted, recorded))


def test_a_sixth_more_fails_and_the_message_says_how_to_record(recorded):
    figure = recorded["calls"]["2.13.0"]["engine"]
    with pytest.raises(AssertionError, match=r"on record .* `make guard` records"):
        check_figure("calls of the engine in", figure * 7 / 6, figure)
