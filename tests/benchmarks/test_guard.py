"""The engine's share of a training batch, counted: no clock is read, so no noise can hide it."""

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


def hold(what, counted, recorded):
    assert abs(counted - recorded) <= TOLERANCE * recorded, (
        f"{what} a training batch: {counted:g}, on record {recorded:g}, allowed ± 5 %. {RENEW}"
    )


def test_the_engine_adds_no_more_function_calls_to_a_batch_than_are_on_record(counted, recorded):
    hold("calls of the engine in", counted["calls"]["engine"], recorded["calls"]["engine"])


def test_the_engine_executes_no_more_instructions_in_a_batch_than_are_on_record(counted, recorded):
    ((version, instructions),) = counted["instructions"].items()
    if version not in recorded["instructions"]:
        pytest.skip(f"no figure for Python {version} on record; `make guard` adds it")
    hold("instructions in", instructions, recorded["instructions"][version])


def test_a_sixth_more_is_refused_and_the_message_says_how_to_renew(recorded):
    figure = recorded["calls"]["engine"]
    with pytest.raises(AssertionError, match=r"on record .* `make guard` records"):
        hold("calls of the engine in", figure * 7 / 6, figure)
