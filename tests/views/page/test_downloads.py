"""What the page saves: its pictures as SVG and PNG, its tables as CSV."""

import csv
import xml.etree.ElementTree as ElementTree

import pytest
from browsers import is_ready, opened
from recordings import recorded
from watched import NamedLikeMarkup, screenshots, wait_until

from trackside.handlers import Metrics
from trackside.views.page.report import write_report
from trackside.views.recordings.recording import Recording
from trackside.views.recordings.totals import totals


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "run.loop"
    recorded(path, Metrics(), NamedLikeMarkup(), timing=True, scalars=2).close()
    return path


@pytest.fixture(scope="module")
def page(browser, path):
    write_report([path], path.with_suffix(".html"))
    with opened(browser, path.with_suffix(".html").as_uri()) as page:
        wait_until(lambda: is_ready(page))
        yield page


def saved(page, button):
    """The name and the content of what a button saves."""
    with page.expect_download() as download:
        page.locator(button).click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def texts(svg):
    root = ElementTree.fromstring(svg)
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_loop_is_saved_with_its_boxes_times_and_counts(page):
    name, svg = saved(page, "#save-chart button >> nth=0")
    assert name == "run-loop.svg"
    assert {"forward", "backward", "validated", "10"} <= {*texts(svg)}
    notes = page.locator(".board .leaf:not(.rest) .note").all_inner_texts()
    assert {note for note in notes if note} <= {*texts(svg)}
    assert b"color-mix" not in svg
    (screenshots() / "loop.svg").write_bytes(svg)


def test_the_timeline_is_saved_with_its_lanes(page):
    name, svg = saved(page, "#save-timeline button >> nth=0")
    assert name == "run-timeline.svg"
    assert {"epochs", "states", "handlers", "cancels"} <= {*texts(svg)}
    (screenshots() / "timeline.svg").write_bytes(svg)


@pytest.mark.parametrize("part", ["chart", "timeline"])
def test_a_picture_is_saved_as_png_twice_as_large_as_on_the_page(page, part):
    name, png = saved(page, f"#save-{part} button >> nth=1")
    assert name.endswith(".png")
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    shown = page.locator({"chart": "#board > .flow", "timeline": "#lanes"}[part]).bounding_box()
    assert abs(int.from_bytes(png[16:20], "big") - 2 * shown["width"]) <= 4
    (screenshots() / f"saved-{part}.png").write_bytes(png)


def test_a_picture_that_is_too_large_for_png_says_so_and_can_be_saved_as_svg(page):
    page.evaluate("""() => {
        trackside.lanes.svg = () => `<svg xmlns="http://www.w3.org/2000/svg" width="40000"
            height="40000"><rect width="9" height="9"/></svg>`;
    }""")
    page.locator("#save-timeline button >> nth=1").click()
    problem = page.locator("#save-timeline output")
    wait_until(lambda: problem.inner_text().endswith("save it as SVG."))
    page.screenshot(path=screenshots() / "too-large.png")
    saved(page, "#save-timeline button >> nth=0")
    assert problem.inner_text() == ""
    page.evaluate("delete trackside.lanes.svg")


def test_the_picture_of_a_metric_is_saved_with_its_axes(page):
    page.keyboard.press("m")
    picture = page.locator(".metric", has_text="valid_loss")
    picture.hover()
    with page.expect_download() as download:
        picture.locator(".save button").first.click()
    assert download.value.suggested_filename == "valid_loss.svg"
    assert "step" in texts(download.value.path().read_bytes())
    page.keyboard.press("m")


def test_metrics_are_saved_as_they_were_recorded(page, path):
    page.keyboard.press("m")
    name, text = saved(page, "#save-metrics button")
    page.keyboard.press("m")
    rows = [*csv.DictReader(text.decode().splitlines())]
    with Recording(path) as recording:
        expected = [(s.name, s.epoch, s.step, s.value) for s in recording.scalars()]
    found = [(r["metric"], int(r["epoch"]), int(r["step"]), float(r["value"])) for r in rows]
    assert name == "run-metrics.csv"
    assert sorted(found) == sorted(expected)


def test_times_are_saved_with_the_counts_of_phases_and_handlers(page, path):
    _, text = saved(page, "#save-times button")
    rows = [*csv.DictReader(text.decode().splitlines())]
    with Recording(path) as recording:
        run = totals(recording)
    phases = {r["name"]: int(r["count"]) for r in rows if r["what"] == "phase"}
    counted = {phase: total.count for phase, total in run.phases.items() if total.count}
    assert phases == counted
    handlers = {r["name"]: int(r["count"]) for r in rows if r["what"] == "handler"}
    assert handlers == {entry.name: total.count for entry, total in run.receivers.items()}
