"""The table and the chart of the peers match the results."""

import copy
import importlib.util
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("report", ROOT / "benchmarks" / "report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def results():
    return json.loads((ROOT / "benchmarks" / "results" / "peers.json").read_text())


def test_the_table_in_the_readme_matches_the_results(report, results):
    readme = (ROOT / "README.md").read_text()
    assert report.SHORT_BEGIN in readme
    assert report.with_short_table(readme, results) == readme, "run `make results`"


def test_the_table_on_the_page_of_costs_matches_the_results(report, results):
    page = report.PAGE.read_text()
    assert report.BEGIN in page
    assert report.with_table(page, results) == page, "run `make results`"


def test_the_chart_matches_the_results(report, results):
    assert report.CHART.read_text() == report.chart(results), "run `make results`"
    assert report.CHART.relative_to(ROOT).as_posix() in (ROOT / "README.md").read_text()


def test_the_chart_has_every_contender_and_its_ratios(report, results):
    drawing = "".join(ET.fromstring(report.chart(results)).itertext())
    names = [path.stem for path in (ROOT / "benchmarks" / "peers").glob("[!_]*.py")]
    for name in set(names) - set(results["not_installed"]):
        assert report.NAMES.get(name, name) in drawing
        for setting in ("bare", "equipped"):
            found = results["measured"]["mlp"][setting][name]
            assert "failed" in found or f"{found['ratio']['median']:.2f}" in drawing


def test_what_is_faster_than_the_loop_by_hand_stands_left_of_it(report, results):
    faster = copy.deepcopy(results)
    faster["measured"]["mlp"]["bare"]["keras"]["ratio"]["median"] = 0.5
    drawn = ET.fromstring(report.chart(faster)).iter("{http://www.w3.org/2000/svg}circle")
    places = [float(dot.get("cx")) for dot in drawn if dot.get("class") == "bare"][1:]
    assert report.ranked(faster)[:2] == ["by_hand", "keras"]
    assert report.LEFT == places[1] < places[0]


def test_contenders_that_failed_to_install_or_run_are_reported(report, results):
    bare = {**results["measured"]["mlp"]["bare"], "keras": {"failed": "it broke"}}
    changed = {
        **results,
        "not_installed": {"composer": "no version for this torch"},
        "measured": {"mlp": {**results["measured"]["mlp"], "equipped": bare}},
    }
    table = report.table(changed)
    assert "Not installed: Composer, no version for this torch" in table
    assert "failed" in next(line for line in table.splitlines() if line.startswith("| Keras"))


def test_results_describe_the_machine_of_each_part_without_its_name(results):
    keys = {"processor", "cores", "memory", "system", "python", "date"}
    assert all(set(machine) == keys for machine in results["machines"].values())
    works = results["measured"].items()
    parts = {f"{work}, {setting}" for work, settings in works for setting in settings}
    assert set(results["machines"]) == {"imports", *parts}


def test_parts_measured_on_other_days_or_machines_have_own_lines(report, results):
    old = {**results["machines"]["imports"], "date": "2020-01-01"}
    changed = {**results, "machines": {"imports": old, "mlp, bare": old, "mlp, equipped": {**old}}}
    assert ": imports; mlp, bare; mlp, equipped" in report.table(changed)
    changed["machines"]["mlp, equipped"]["processor"] = "another"
    lines = report.table(changed).splitlines()
    assert lines[1].endswith(": imports; mlp, bare")
    assert lines[2].startswith("- 2020-01-01, another, ")
    assert lines[2].endswith(": mlp, equipped")
