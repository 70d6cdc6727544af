"""The chart of an epoch with its loader matches the results."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchmarked import benchmark_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]


@pytest.fixture
def epoch_chart(monkeypatch):
    return benchmark_of("epoch_chart", monkeypatch)


@pytest.fixture
def results(epoch_chart):
    return json.loads(epoch_chart.RESULTS.read_text())


def test_the_epoch_chart_matches_the_results_and_is_on_its_pages(epoch_chart, results):
    assert epoch_chart.CHART.read_text() == epoch_chart.chart(results), "run `make results`"
    page = ROOT / "docs" / "reference" / "costs.md"
    assert f"](../{epoch_chart.CHART.name})" in page.read_text()


def test_each_work_shows_the_ratio_of_each_contender_once(epoch_chart, results):
    drawing = ET.fromstring(epoch_chart.chart(results))
    texts = [text.strip() for text in drawing.itertext()]
    dots = [circle for circle in drawing.iter() if circle.get("class") == "bare"]
    found = [row for work in results["measured"].values() for row in work.values()]
    assert len(dots) == len([row for row in found if "failed" not in row])
    for row in found:
        assert "failed" in row or f"{row['ratio']:.2f}" in texts


def test_a_contender_that_failed_has_a_name_and_no_dot(epoch_chart, results):
    one = {work: dict(found) for work, found in results["measured"].items()}
    one["mlp"]["keras"] = {"failed": "it broke"}
    drawing = ET.fromstring(epoch_chart.chart({**results, "measured": {"mlp": one["mlp"]}}))
    dots = [circle for circle in drawing.iter() if circle.get("class") == "bare"]
    assert len(dots) == len(one["mlp"]) - 1
    assert "Keras on torch" in [text.strip() for text in drawing.itertext()]


def test_a_dot_is_left_of_the_line_if_the_contender_is_faster(epoch_chart):
    rows = {"trackside": {"ratio": 0.7}, "ignite": {"ratio": 1.1}}
    drawing = ET.fromstring(epoch_chart.chart({"measured": {"mlp": rows}}))
    (line,) = (part for part in drawing.iter() if part.get("class") == "tick")
    faster, slower = (
        float(circle.get("cx")) for circle in drawing.iter() if circle.get("class") == "bare"
    )
    assert faster < line_of(line)[0] < slower


def line_of(path):
    """Where the line of the loop by hand is, and the heights from and to which it is drawn."""
    parts = re.findall(r"M(\S+) (\d+)([Vv])(\d+)", path.get("d"))
    spans = [(int(y), int(to) + (int(y) if how == "v" else 0)) for _, y, how, to in parts]
    return float(parts[0][0]), spans


@given(st.lists(st.floats(0.61, 3), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_number_stands_on_the_line_of_the_loop_by_hand(epoch_chart, ratios):
    rows = {f"c{n}": {"ratio": ratio} for n, ratio in enumerate(ratios)}
    drawing = ET.fromstring(epoch_chart.chart({"measured": {"mlp": rows}}))
    (line,) = (part for part in drawing.iter() if part.get("class") == "tick")
    x, spans = line_of(line)
    numbers = [
        (float(text.get("x")), float(text.get("y")))
        for text in drawing.iter("{http://www.w3.org/2000/svg}text")
        if re.fullmatch(r"\d\.\d\d", text.text or "")
    ]
    assert len(numbers) == len(ratios)
    for left, y in numbers:
        is_drawn = any(top < y < bottom for top, bottom in spans)
        assert not (is_drawn and left - 1 < x < left + 30)
