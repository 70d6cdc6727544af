"""Where things are on the live page, measured in a real browser: nothing is cut or covered."""

import pytest
from browsers import is_ready, opened
from helpers import batches, trainer_of
from watched import EMPTY, CancelOneBatch, screenshots, wait_until

from trackside.events import RetryBatchException
from trackside.handlers import Metrics, Recorder
from trackside.views.page.report import write_report

LONG = "a-run-with-a-very-long-name-of-many-words-and-its-learning-rate-0.003"
SIZES = [(w, h) for w in (400, 600, 900, 1180, 1366, 1440) for h in (768, 900)]
SIZES += [(1920, 1080), (2560, 1440)]
ONE_VIEW = 1360
"""The width from which on the page is as high as its window."""

FRAMED = "framed = false; requestAnimationFrame(() => setTimeout(() => { framed = true; }, 50))"
CORNER = {"x": 0, "y": 0, "width": 1, "height": 1}
"""A picture of it makes a browser without a screen draw: it may wait for ever to draw by itself."""

COVERED = """() => {
    const rect = (e) => e.getBoundingClientRect();
    const leaves = [...document.querySelectorAll(".board .leaf:not(.unused)")].map(rect);
    const counts = [...document.querySelectorAll(".arrow:not(.unused) .count")];
    return counts.filter((e) => e.textContent).map((e) => [e.textContent, rect(e)])
        .filter(([, a]) => leaves.some((b) => a.left < b.right - 2 && a.right > b.left + 2 &&
                                              a.top < b.bottom - 3 && a.bottom > b.top + 3))
        .map(([text]) => text);
}"""
FRAME = """() => {
    const board = document.querySelector("#board"), flow = board.querySelector(".flow");
    const sizes = [...board.querySelectorAll(".name, .note, .count")]
        .map((e) => parseFloat(getComputedStyle(e).fontSize));
    return [Math.min(...sizes), board.scrollHeight - board.clientHeight,
            board.scrollHeight - Math.max(board.clientHeight, flow.offsetHeight)];
}"""
PAGE = """() => {
    const root = document.documentElement, note = document.querySelector("#note");
    return [root.scrollHeight - innerHeight, root.scrollWidth,
            document.querySelector("#timeline").getBoundingClientRect().bottom,
            innerWidth < 900 ? 0 : note.offsetHeight];
}"""
OVERLAP = """([a, b]) => {
    const [x, y] = [a, b].map((id) => document.getElementById(id).getBoundingClientRect());
    return Math.min(x.right, y.right) - Math.max(x.left, y.left) > 0 &&
           Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top) > 0;
}"""
STAT_PLACES = """() => [...document.querySelectorAll("#stats div")]
    .map((e) => [e.firstChild.textContent, e.getBoundingClientRect().left])"""
ENDS_OF_NAME = """(cell) => {
    const text = [...cell.childNodes].find((node) => node.nodeType === 3);
    const at = (i) => {
        const range = new Range();
        range.setStart(text, i);
        range.setEnd(text, i + 1);
        return range.getBoundingClientRect();
    };
    const box = cell.getBoundingClientRect();
    return [at(0).left < box.left, at(text.length - 1).right <= box.right + 1];
}"""


class ModuleOfALongName:
    __module__ = "a_package_of_a_long_name.with_modules_in_it.and_more_of_them.whose_end_tells_them"

    def after_batch(self, trainer, state):
        pass


class RetryOneBatch:
    def after_loss(self, trainer, state):
        if state.step == 2 and not state.attempt:
            raise RetryBatchException("once more")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of three runs: a long name and counts of four digits, cancels, a retried batch."""
    folder = tmp_path_factory.mktemp("layout")
    recorder = Recorder(folder / f"{LONG}.loop", records=2**15, timing=True)
    trainer_of(ModuleOfALongName(), recorder, activities=EMPTY).fit(batches(1) * 1234, batches(2))
    recorder = Recorder(folder / "cancels.loop", records=512)
    trainer = trainer_of(Metrics(), CancelOneBatch(), recorder)
    trainer.fit(batches(8), batches(2), epochs=15)
    recorder = Recorder(folder / "retry.loop")
    trainer_of(RetryOneBatch(), recorder).fit(batches(4))
    paths = [folder / f"{name}.loop" for name in (LONG, "cancels", "retry")]
    write_report(paths, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(browser, report):
    with opened(browser, report.as_uri()) as page:
        wait_until(lambda: is_ready(page))
        yield page


def choose(page, label):
    page.select_option("#run", label=label)
    wait_until(lambda: is_ready(page) and page.title().startswith(label))


def resize(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate(FRAMED)
    wait_until(lambda: page.evaluate("framed") or page.screenshot(clip=CORNER) is None)


@pytest.mark.parametrize(("label", "theme"), [(LONG, "dark"), ("cancels", "light")])
def test_at_every_size_the_chart_fits_its_frame_and_no_count_covers_a_box(page, label, theme):
    page.emulate_media(color_scheme=theme)
    choose(page, label)
    for width, height in SIZES:
        resize(page, width, height)
        font, cut, empty = page.evaluate(FRAME)
        place = label, width, height
        assert page.evaluate(COVERED) == [], place
        assert empty <= 1, place
        assert font >= 11, place
        assert cut <= 1 or (height < 900 and width >= ONE_VIEW), place
        page.screenshot(path=screenshots() / f"layout-{label[:7]}-{width}-{height}.png")


def test_a_wide_page_is_as_high_as_its_window_and_nothing_of_it_is_cut(page):
    choose(page, "cancels")
    for width, height in SIZES:
        resize(page, width, height)
        over, right, bottom, low_note = page.evaluate(PAGE)
        assert right <= width, (width, height)
        assert low_note <= 20, (width, height)  # one line
        if width >= ONE_VIEW:
            assert (over, bottom <= height) == (0, True), (width, height)


def test_phases_of_a_recovery_take_room_when_they_are_entered(page):
    retry = page.locator("#board [data-phase='fit.epoch.train.batch.retry']")
    arrows = page.locator("#board .arrow.recovery:not(.unused) .count")
    choose(page, LONG)
    assert not retry.is_visible()
    assert arrows.count() == 0
    choose(page, "retry")
    wait_until(retry.is_visible)
    assert {*arrows.all_text_contents()} == {"1"}
    assert not page.locator("#board [data-phase='fit.epoch.train.restore']").is_visible()
    page.screenshot(path=screenshots() / "layout-retry.png")


def test_a_chart_that_is_taller_than_its_frame_follows_the_live_phase(page):
    choose(page, LONG)
    resize(page, 1366, 768)
    page.evaluate("document.querySelector('#board').style.maxHeight = '200px'")
    page.keyboard.press("Home")
    for key in ("End", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    here = page.locator("#board .here")
    wait_until(lambda: here.get_attribute("data-phase") == "fit.epoch.validated")
    inside = """(e) => { const a = e.getBoundingClientRect(),
        b = document.querySelector("#board").getBoundingClientRect();
        return a.top >= b.top && a.bottom <= b.bottom; }"""
    wait_until(lambda: here.evaluate(inside))
    page.evaluate("document.querySelector('#board').style.maxHeight = ''")
    page.keyboard.press("l")


def test_numbers_in_the_header_do_not_move_what_follows(page):
    choose(page, LONG)
    resize(page, 1920, 1080)
    whole = page.evaluate(STAT_PLACES)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    wait_until(lambda: page.locator("#stats").inner_text().endswith("\n2"))
    assert page.evaluate(STAT_PLACES)[:2] == whole[:2]
    page.keyboard.press("l")
    wait_until(lambda: page.evaluate(STAT_PLACES) == whole)


def test_the_help_button_stands_beside_a_long_name_at_400_pixels(page):
    choose(page, LONG)
    for width in (400, 600, 1440):
        resize(page, width, 800)
        assert not page.evaluate(OVERLAP, ["run", "help-open"]), width
        assert not page.evaluate(OVERLAP, ["pill", "help-open"]), width
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_long_module_name_is_cut_at_its_front(page):
    choose(page, LONG)
    resize(page, 1440, 900)
    cell = page.locator("#modules td:first-child", has_text="whose_end_tells_them")
    assert cell.evaluate(ENDS_OF_NAME) == [True, True]


def test_cancels_count_the_same_in_the_table_and_above_after_the_ring_lost_some(page):
    choose(page, "cancels")
    table = page.locator("#cancels tbody tr")
    wait_until(lambda: table.count() == 2)  # the page is drawn a frame after it has its run
    rows = table.evaluate_all(
        "(all) => all.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert [row[0] for row in rows] == [
        "batch: too <b>hard</b>",
        "earlier ones, their reasons were overwritten",
    ]
    assert sum(int(row[1]) for row in rows) == 15
    stats = dict(
        page.locator("#stats div").evaluate_all(
            "(all) => all.map(e => [e.firstChild.textContent, e.lastChild.textContent])"
        )
    )
    assert stats["cancels"] == "15"


def test_the_time_left_is_that_of_the_updates_so_far(page):
    choose(page, "cancels")
    assert "left" not in [name for name, _ in page.evaluate(STAT_PLACES) if _]
    page.evaluate("""() => {
        Object.assign(trackside.live, { status: "running", step: 70, n_steps: 105 });
        trackside.requestDraw();
    }""")
    stat = page.locator("#stats div", has_text="left").locator("dd")
    wait_until(lambda: stat.inner_text().startswith("about "))
    made, seconds = page.evaluate("""() => {
        const { main, until, since } = trackside.totals;
        const resting = main.leaves.reduce((sum, ns) => sum + ns, 0) - main.work;
        const made = (t, id) => t.trigger === "after_step" && t.source.endsWith(".step.run")
            ? main.transitions[id] : 0;
        const counts = trackside.records.table.transitions.map(made);
        return [counts.reduce((a, b) => a + b), (until - since - resting) / 1e9];
    }""")
    shown, unit = stat.inner_text().split()[1:]
    factor = {"s": 1, "ms": 1e-3}[unit]
    assert float(shown) * factor == pytest.approx(35 * seconds / made, rel=0.01)


def test_where_the_page_is_scrolled_the_views_are_chosen_at_the_lower_border(page):
    choose(page, LONG)
    for width in (400, 900):
        resize(page, width, 900)
        page.evaluate("scrollTo(0, 0)")
        for view in ("loop", "curves", "pictures", "runs", "facts"):
            box = page.locator(f"#show-{view}").bounding_box()
            assert 850 < box["y"] < box["y"] + box["height"] <= 900, (width, view)
            assert 0 <= box["x"] < box["x"] + box["width"] <= width, (width, view)
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        note = page.locator("#note").bounding_box()
        assert note["y"] + note["height"] < box["y"]
        page.screenshot(path=screenshots() / f"layout-views-{width}.png")
    resize(page, 1440, 900)
    assert page.locator("#show-loop").bounding_box()["y"] < 700


def test_a_first_stay_that_does_not_end_names_the_handler_and_says_that_it_is_the_first(page):
    choose(page, LONG)
    resize(page, 1440, 900)
    show = "(live) => { Object.assign(trackside.live, live); trackside.requestDraw(); }"
    stuck = {"status": "stuck", "usual": None, "receiver": "Slow.begin_fit"}
    page.evaluate(show, stuck)
    banner = page.locator("#banner")
    wait_until(lambda: "it is the first stay in this phase" in banner.inner_text())
    assert "Slow.begin_fit was called" in banner.inner_text()
    wait_until(lambda: page.evaluate(FRAME)[1] <= 1)  # the chart is still whole
    page.screenshot(path=screenshots() / "layout-stuck.png")
    page.evaluate(show, {"status": "ended", "receiver": ""})
    wait_until(banner.is_hidden)
