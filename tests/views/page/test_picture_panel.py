"""The pictures of evaluations on the page, in a real browser."""

import xml.etree.ElementTree as ElementTree

import pytest
from browsers import is_ready, opened
from shown import CLASSES, COUNTS, TEXTS, Shows, classified
from watched import screenshots, wait_until

from trackside import Interpretation, Metrics, Recorder, Samples
from trackside.views import Recording, watch_app
from trackside.views.page.report import write_report

EPOCHS = 3
SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["valid_samples", "valid_confusion", "valid_worst", "texts"]
OVERFLOWS = """() => [...document.querySelectorAll(".example, .picture")]
    .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a fit with pictures, and the path of its recording."""
    path = tmp_path_factory.mktemp("pictures") / "run.loop"
    shows = Shows(texts=TEXTS)
    made = Samples(5, classes=CLASSES), Interpretation(CLASSES, keep=3), shows
    trainer, batches = classified(Metrics(), *made, Recorder(path, records=2**12), channels=3)
    trainer.fit(batches, batches, epochs=EPOCHS)
    write_report([path], path.with_suffix(".html"))
    return path.with_suffix(".html"), path


@pytest.fixture
def page(shared_page):
    """The page with the newest pictures."""
    shared_page.locator("#show-pictures").click()
    wait_until(lambda: len(titles(shared_page)) == len(NAMES))
    slider = shared_page.locator("#pictures-at")
    slider.fill(slider.get_attribute("max"))
    return shared_page


def titles(page):
    return page.locator(".picture h3").all_text_contents()


def test_the_newest_picture_of_each_name_is_shown_with_its_epoch(page):
    assert titles(page) == [f"{name} · epoch {EPOCHS}" for name in NAMES]
    assert page.locator("#pictures-scope").text_content() == "· epoch 3, step 9"


def test_examples_have_their_image_class_and_target(page, report):
    with Recording(report[1]) as recording:
        [*_, samples] = [one.picture for one in recording.pictures() if one.name == NAMES[0]]
    cards = page.locator(".picture").nth(0).locator(".example")
    assert cards.count() == 5
    for card, one in zip(cards.all(), samples.examples, strict=True):
        mark = "" if one.is_right else "✗ "
        assert card.locator(".prediction").text_content() == mark + one.prediction
        assert card.locator(".target").text_content() == one.target
        size = "(e) => e.decode().then(() => [e.naturalWidth, e.naturalHeight])"
        assert card.locator("img").evaluate(size) == [8, 8]
        assert ("wrong" in card.get_attribute("class").split()) == (not one.is_right)


def test_worst_examples_have_their_loss(page):
    assert "loss" in page.locator(".picture").nth(2).locator(".example").nth(0).text_content()


def test_the_matrix_has_counts_shares_and_says_what_a_cell_is(page, report):
    with Recording(report[1]) as recording:
        [*_, matrix] = [one.picture for one in recording.pictures() if one.name == NAMES[1]]
    rows = page.locator(".confusion tr")
    assert rows.nth(0).locator("th").all_text_contents()[1:] == [*CLASSES, "right"]
    for number, counts in enumerate(matrix.counts):
        cells = rows.nth(number + 1).locator("td").all_text_contents()
        assert cells[:-1] == [str(count) if count else "" for count in counts]
    title = rows.nth(1).locator("td").nth(1).get_attribute("title")
    assert title == f"{matrix.counts[0][1]} of 8 zero predicted as one"


def test_a_confusion_matrix_is_saved_as_svg_and_png_as_it_is_shown(page, report):
    table = page.locator(".confusion").nth(0)
    head = page.locator(".picture", has=table).locator(".save button")
    files = []
    for button in (head.nth(0), head.nth(1)):
        with page.expect_download() as download:
            button.click()
        files.append((download.value.suggested_filename, download.value.path().read_bytes()))
    (name, svg), (other, png) = files
    assert (name, other) == (f"{NAMES[1]}-epoch-3.svg", f"{NAMES[1]}-epoch-3.png")
    found = [one.text or "" for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert found == table.locator("th, td").all_text_contents()
    shown = table.bounding_box()
    assert abs(int.from_bytes(png[16:20], "big") - 2 * shown["width"]) <= 4
    (screenshots() / "saved-confusion.png").write_bytes(png)


def test_an_earlier_epoch_is_chosen_by_key(page):
    page.locator("#pictures-at").focus()
    page.keyboard.press("ArrowLeft")
    wait_until(lambda: titles(page)[0] == "valid_samples · epoch 2")
    assert page.get_attribute("#pictures-at", "aria-valuetext") == "epoch 2, step 6"
    page.keyboard.press("End")
    wait_until(lambda: titles(page)[0] == f"valid_samples · epoch {EPOCHS}")


def test_a_key_shows_the_pictures_in_place_of_the_loop(page):
    page.locator("#lanes").focus()
    page.keyboard.press("p")
    assert page.locator("#loop-card").is_visible()
    page.keyboard.press("p")
    assert page.locator("#pictures-card").is_visible()
    assert page.get_attribute("#show-pictures", "aria-pressed") == "true"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 768, 1440])
def test_pictures_fit_the_window(browser, report, width, theme):
    size = {"width": width, "height": 900}
    with opened(browser, report[0].as_uri(), viewport=size, color_scheme=theme) as page:
        wait_until(lambda: is_ready(page))
        page.locator("#show-pictures").click()
        wait_until(lambda: len(titles(page)) == len(NAMES))
        page.screenshot(path=screenshots() / f"pictures-{width}-{theme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OVERFLOWS) == []
        boxes = [card.bounding_box() for card in page.locator(".example").all()]
        assert len({(box["x"], box["y"]) for box in boxes}) == len(boxes)
        assert all(box["x"] + box["width"] <= width for box in boxes)


def test_a_run_without_pictures_says_how_to_have_some(browser, tmp_path):
    trainer, batches = classified(Recorder(tmp_path / "run.loop", records=256))
    trainer.fit(batches)
    write_report([tmp_path / "run.loop"], tmp_path / "run.html")
    with opened(browser, (tmp_path / "run.html").as_uri()) as page:
        wait_until(lambda: is_ready(page))
        page.locator("#show-pictures").click()
        text = page.locator("#pictures-none").text_content()
        assert text == "No pictures were recorded: attach Samples or Interpretation."
        assert page.locator("#pictures-pick").is_hidden()


def test_the_server_sends_the_pictures_of_a_recording(tmp_path):
    from starlette.testclient import TestClient

    shows = Shows(counts=COUNTS)
    trainer, batches = classified(shows, Recorder(tmp_path / "run.loop", records=256))
    trainer.fit(batches, batches, epochs=2)
    with TestClient(watch_app(tmp_path), base_url="http://localhost") as client:
        [entry] = client.get("/recordings").json()
        found = client.get(f"/recordings/{entry['id']}/pictures").json()
        assert client.get("/recordings/nothing/pictures").status_code == 404
    expected = {"name": "counts", "classes": ["x", "y"], "counts": [[3, 1], [0, 4]]}
    assert found == [{**expected, "epoch": n, "step": 3 * n + 3} for n in range(2)]
