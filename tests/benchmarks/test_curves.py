"""The curves on the page of costs match the results, and none of them is superlinear."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchmarked import benchmark_of

ROOT = Path(__file__).parents[2]
NOISE = 0.1


@pytest.fixture
def curves(monkeypatch):
    return benchmark_of("curves", monkeypatch)


@pytest.fixture
def results(curves):
    return json.loads(curves.RESULTS.read_text())


def test_the_chart_matches_the_results_and_is_on_the_page(curves, results):
    assert curves.CHART.read_text() == curves.chart(results), "run `make results`"
    page = ROOT / "docs" / "reference" / "costs.md"
    assert f"](../{curves.CHART.name})" in page.read_text()


def test_each_curve_has_its_exponent_its_end_labels_and_all_points(curves, results):
    drawing = ET.fromstring(curves.chart(results))
    texts = [text.strip() for text in drawing.itertext()]
    points = [circle for circle in drawing.iter() if circle.get("class") == "point"]
    assert len(points) == sum(len(results[name]["us_a_batch"]) for name in curves.TITLES)
    for name, title in curves.TITLES.items():
        costs = list(results[name]["us_a_batch"].values())
        assert title in texts
        assert f"{results[name]['slope']:.2f}" in texts
        assert {f"{costs[0]:.3g}", f"{costs[-1]:.3g}"} <= set(texts)


def test_every_point_lies_inside_its_panel(curves, results):
    drawing = ET.fromstring(curves.chart(results))
    for circle in drawing.iter():
        if circle.get("class") == "point":
            assert curves.TOP <= float(circle.get("cy")) <= curves.TOP + curves.HEIGHT


def test_no_measured_cost_is_superlinear(curves, results):
    for name in curves.TITLES:
        assert results[name]["slope"] <= 1 + NOISE, name
