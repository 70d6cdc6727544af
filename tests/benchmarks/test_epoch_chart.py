"""The chart of an epoch with its loader matches the results."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchmarked import benchmark_of

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
    assert faster < float(line.get("x1")) < slower
