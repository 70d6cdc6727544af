"""The picture in a real browser: its texts fit with the fonts of the browser, too."""

import re

import pytest
from browsers import chromium, opened
from charts import topologies
from watched import screenshots

from trackside.engine import EVALUATION, SUPERVISED, Diagram, Topology

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
SHOWN = """() => [...document.querySelectorAll("svg")].filter((e) => e.getClientRects().length)
    .map((e) => {
        const { width } = e.getBoundingClientRect();
        const sizes = [...e.querySelectorAll("text")]
            .map((t) => parseFloat(getComputedStyle(t).fontSize));
        return [width, Math.min(...sizes) * width / e.viewBox.baseVal.width];
    })"""
SUBSCRIBERS = {"begin_step": ("GradientClip.begin_step", "log")}
LEADING = 3  # px above and below the letters of a line that may overlap


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """The address of a file with the chart, wide and narrow."""
    drawn = Diagram(Topology(SUPERVISED), SUBSCRIBERS)
    path = tmp_path_factory.mktemp("picture") / "loop.html"
    svgs = f"{drawn.svg}{drawn.narrow_svg}"
    path.write_text(f"<meta charset=utf-8><body data-ready=true>{svgs}", encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """What a notebook shows of three charts, in a page without margins."""
    charts = SUPERVISED, EVALUATION, topologies(0)["gan"].rows
    shown = "".join(Diagram(Topology(chart), SUBSCRIBERS)._repr_html_() for chart in charts)
    path = tmp_path_factory.mktemp("notebook") / "loop.html"
    path.write_text(f"<meta charset=utf-8><body style='margin: 0'>{shown}", encoding="utf-8")
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


def test_at_every_width_a_notebook_shows_each_chart_once_with_text_of_eleven_pixels(
    browser, notebook
):
    shown_at = {}
    with opened(browser, notebook) as page:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for width in (360, 400, 600, 760, 830, 1000, 1440):
                page.set_viewport_size({"width": width, "height": 900})
                shown_at[width] = page.evaluate(SHOWN)
                assert page.evaluate("document.documentElement.scrollWidth") == width
                page.screenshot(path=screenshots() / f"chart-{scheme}-{width}.png", full_page=True)
    assert all(len(shown) == 3 for shown in shown_at.values())
    assert all(size >= 11 for shown in shown_at.values() for _, size in shown)
    assert all(wide < 400 for wide, _ in shown_at[400])
    assert min(wide for wide, _ in shown_at[1440]) > 700


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
