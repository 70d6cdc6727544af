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


@pytest.mark.parametrize("font", ["sans-serif", "DejaVu Sans", "Liberation Sans", "serif"])
def test_texts_fit_into_their_boxes_and_do_not_overlap(browser, picture, font):
    with opened(browser, picture) as page:
        page.add_style_tag(content=f".trackside-chart text {{font-family: '{font}' !important}}")
        texts = page.evaluate(TEXTS)
    assert len(texts) > 100
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
