"""The picture in a real browser: its texts fit with the fonts of the browser, too."""

import re

import pytest
from browsers import chromium, opened
from pictures import WIDEST_COUNT, WIDEST_NOTE

from trackside.engine import SUPERVISED, Diagram, Topology

TEXTS = """() => [...document.querySelectorAll("text")].map((text) => {
    const box = ({x, y, width, height}) => [x, y, x + width, y + height];
    const leaf = text.closest(".leaf");
    return {
        words: text.textContent,
        role: text.getAttribute("class"),
        box: box(text.getBoundingClientRect()),
        leaf: leaf && box(leaf.querySelector("rect").getBoundingClientRect()),
    };
})"""
LEADING = 3  # px above and below the letters of a line that may overlap


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """The address of a file with the chart, with notes and counts of maximum length."""
    svg = Diagram(Topology(SUPERVISED)).svg
    for role, text in {"note": WIDEST_NOTE, "count": WIDEST_COUNT}.items():
        svg = re.sub(rf'(<text class="{role}"[^>]*>)</text>', rf"\g<1>{text}</text>", svg)
    path = tmp_path_factory.mktemp("picture") / "loop.html"
    path.write_text(f"<meta charset=utf-8><body data-ready=true>{svg}", encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The same without notes and counts, in a page without margins."""
    path = tmp_path_factory.mktemp("bare") / "loop.html"
    svg = Diagram(Topology(SUPERVISED)).svg
    path.write_text(f"<meta charset=utf-8><body style='margin: 0'>{svg}", encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize("font", ["sans-serif", "DejaVu Sans", "Liberation Sans", "serif"])
def test_texts_fit_into_their_boxes_and_do_not_overlap(browser, picture, font):
    with opened(browser, picture) as page:
        page.add_style_tag(content=f".trackside-chart text {{font-family: '{font}' !important}}")
        texts = page.evaluate(TEXTS)
    assert len(texts) > 100
    texts = [text for text in texts if any(text["box"])]  # without what is hidden
    for text in texts:
        left, top, right, bottom = text["box"]
        if text["leaf"]:
            assert text["leaf"][0] <= left, text
            assert right <= text["leaf"][2], text
            assert text["leaf"][1] - LEADING <= top, text
            assert bottom <= text["leaf"][3] + LEADING, text
    overlapping = [
        (one["words"], two["words"])
        for number, one in enumerate(texts)
        for two in texts[:number]
        if overlaps(one["box"], two["box"])
    ]
    assert overlapping == []


def test_the_picture_fits_the_width_it_is_given_with_text_of_eleven_pixels(browser, bare):
    sizes = (
        "[...document.querySelectorAll('text')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    with opened(browser, bare, viewport={"width": 930, "height": 900}) as page:
        natural = page.evaluate("document.querySelector('svg').viewBox.baseVal.width")
        assert natural <= 930
        assert min(page.evaluate(sizes)) == 11
        texts = page.evaluate(TEXTS)
        page.set_viewport_size({"width": 800, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == 800
    for text in (text for text in texts if text["leaf"] and text["words"]):
        left, top, right, bottom = text["box"]
        assert text["leaf"][0] <= left, text
        assert right <= text["leaf"][2], text
        assert text["leaf"][1] - LEADING <= top, text
        assert bottom <= text["leaf"][3] + LEADING, text


def overlaps(one, two):
    across = min(one[2], two[2]) - max(one[0], two[0])
    along = min(one[3], two[3]) - max(one[1], two[1])
    return across > 0 and along > 2 * LEADING


def test_colours_are_light_on_dark_on_a_dark_page(browser, picture):
    shades = {}
    for scheme in ("light", "dark"):
        with opened(browser, picture, color_scheme=scheme) as page:
            shades[scheme] = [
                page.evaluate(f"getComputedStyle(document.querySelector('{part}')).fill")
                for part in (".paper", ".name")
            ]
    (paper, ink), (dark_paper, dark_ink) = (
        [sum(map(int, re.findall(r"\d+", shade))) for shade in shades[scheme]]
        for scheme in ("light", "dark")
    )
    assert paper > ink
    assert dark_paper < dark_ink
