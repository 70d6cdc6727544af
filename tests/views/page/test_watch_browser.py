"""The live page in a real browser, showing real training processes."""

import os
import re
import signal
from contextlib import contextmanager

import pytest
from browsers import is_ready, opened
from recordings import recorded
from watched import (
    MARKUP,
    TOKEN,
    finish_training,
    fit,
    screenshots,
    training,
    wait_until,
    wait_until_drawn,
    watching,
)

from trackside.handlers.recording.format import Kind
from trackside.views.recordings.recording import Recording
from trackside.views.recordings.totals import totals

BOX = re.compile(r"\.(run|cancelled)$")
"""The end of a phase's path that is not in the path of its box on the board."""
SCORED = "fit.epoch.train.batch.scored"
SHOWN_TIMES = """Object.fromEntries(trackside.table.paths
    .map((path, i) => [path, trackside.totals.shares.leaves[i]])
    .filter(([, ns]) => ns > 0))"""
FOCUSED = """() => {
    const e = document.activeElement, style = getComputedStyle(e);
    const labels = [e.ariaLabel, e.innerText, e.labels?.[0]?.innerText];
    return [e.id || e.tagName, labels.filter(Boolean).join(" "),
            style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)];
}"""
SHOWN_SCALARS = """Object.fromEntries(trackside.table.scalars.flatMap(({name}, id) => {
    const { length, times, values } = trackside.records.events.scalars[id];
    return [[name, Array.from({ length }, (_, i) => [times[i], values[i]])]];
}))"""
BOX_TITLE = re.compile(r"(?P<count>[\d\u2009]+)×, mean (?P<mean>\S+ \S+), in all (?P<all>\S+ \S+)$")
UNITS = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}
ROUNDED = 0.006
"""Relative error of a shown time, which has three digits or two decimals."""
WIDTHS = {360: 740, 768: 1024, 1440: 900, 2560: 1440}


@pytest.fixture(scope="module")
def ended(browser, tmp_path_factory):
    """The recording of a completed fit, and the address of a page that shows it."""
    path = tmp_path_factory.mktemp("ended") / "run.loop"
    fit(path)
    while seconds(path) > 0.9:  # the page computes the heat of its boxes from the last second
        fit(path)
    with watching(path, "--token", TOKEN) as address:
        yield path, address


def seconds(path):
    """Time from the first record to the last."""
    with Recording(path) as recording:
        times = [record.time_ns for record in recording.records()]
    return (times[-1] - times[0]) / 1e9


@contextmanager
def open_whole_run(browser, address, **options):
    """The loaded page; its window is the whole run."""
    with opened(browser, address, **options) as page:
        wait_until(lambda: is_ready(page))
        page.keyboard.press("4")
        yield page


@pytest.fixture(scope="module")
def shared_page(browser, ended):
    with open_whole_run(browser, ended[1]) as page:
        yield page


@pytest.fixture
def page(shared_page):
    """The page of the completed fit, with the window reset; all tests share it."""
    shared_page.evaluate("document.activeElement.blur()")
    shared_page.keyboard.press("4")
    wait_until_drawn(shared_page)
    return shared_page


def phases(page, mark):
    """The phases of the boxes with a mark: `here` (the current phase) or `around` it."""
    return page.locator(f"#board .{mark}").evaluate_all("(all) => all.map(e => e.dataset.phase)")


def counts(page):
    """The counts on the arrows of the board, by the rows of the chart that each represents."""
    arrows = page.locator(".arrow").evaluate_all(
        "(all) => all.map(e => [e.dataset.rows, Number(e.dataset.count)])"
    )
    return {tuple(map(int, rows.split())): n for rows, n in arrows}


def stat(page, name):
    """A number in the header."""
    pairs = page.locator("#stats div").evaluate_all(
        "(all) => all.map(e => [e.firstChild.textContent, e.lastChild.textContent])"
    )
    return dict(pairs)[name]


def table(page, name):
    """The cells of a table, row by row."""
    return page.locator(f"#{name} tbody tr").evaluate_all(
        "(all) => all.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def calls_of(page):
    """Calls, mean and total time of each handler, by its name."""
    return {name: cells for name, *cells in table(page, "handlers")}


def nanoseconds(shown):
    """Parse a duration as the page shows it."""
    value, unit = shown.split()
    return float(value) * UNITS[unit]


def boxes(page):
    """The title of each leaf's box and its heat, by phase."""
    shown = page.locator("#board .leaf").evaluate_all(
        "(all) => all.map(e => [e.title, Number(e.style.getPropertyValue('--heat'))])"
    )
    return {title.partition("\n")[0]: (title.partition("\n")[2], heat) for title, heat in shown}


def text(page, element):
    """The text of an element, on one line."""
    return " ".join(page.inner_text(element).split())


def expected_counts(shown, row_counts):
    """The counts that the shown arrows should have, given a count for each row."""
    return {rows: sum(row_counts.get(row, 0) for row in rows) for rows in shown}


def transitions(path):
    """(nanoseconds since the recorder was attached, table entry) of each transition."""
    with Recording(path) as recording:
        start, names = recording.meta.monotonic_ns, recording.table
        return [
            (record.time_ns - start, names.transition(record.id))
            for record in recording.records()
            if record.kind == Kind.TRANSITION
        ]


def window(page):
    """The window in nanoseconds: from, to, and the selected time."""
    return page.evaluate("[trackside.view.from, trackside.view.to, trackside.view.instant]")


def middle_half(page, taken):
    """Two positions on the timeline of the whole run, with half of the transitions between them."""
    first, end = page.evaluate("[trackside.view.first, trackside.view.end]")
    start, stop = (taken[len(taken) * part // 4][0] for part in (1, 3))
    return (start - first) / (end - first), max((stop - first) / (end - first), 0.02)


def drag(page, element, start, end):
    """Drag over an element, between two fractions of the time that it shows."""
    page.mouse.move(*place(page, element, start))
    page.mouse.down()
    for share in ((start + end) / 2, end):
        page.mouse.move(*place(page, element, share))
    page.mouse.up()


def click(page, element, share):
    """Click into an element, at a fraction of the time that it shows."""
    page.mouse.click(*place(page, element, share))


def place(page, element, share):
    """The coordinates of that position."""
    page.locator(element).scroll_into_view_if_needed()
    box = page.locator(element).bounding_box()
    left, right = box["x"] + 86, box["x"] + box["width"] - 10
    return left + (right - left) * share, box["y"] + box["height"] / 2


def test_live_phase_is_marked_and_a_stuck_or_dead_process_is_reported(browser, tmp_path):
    with (
        training(tmp_path / "run.loop") as process,
        watching(tmp_path) as address,
        opened(browser, address) as page,
    ):
        wait_until(lambda: is_ready(page))
        wait_until(lambda: phases(page, "here") == [SCORED])
        assert phases(page, "around") == ["fit", "fit.epoch", "fit.epoch.train", SCORED[:21]]
        assert (stat(page, "epoch"), stat(page, "batch")) == ("2 / 4", "8 / 12")
        page.keyboard.press("f")
        wait_until(lambda: "memory, GB" in text(page, "#load"))
        wait_until(lambda: "model" in text(page, "#facts") and "optimizer" in text(page, "#facts"))
        page.screenshot(path=screenshots() / "facts.png")
        page.keyboard.press("f")
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: text(page, "#banner").startswith("STUCK in"))
        assert "batch › scored, epoch 2 / 4, batch 8 / 12" in text(page, "#banner")
        called = r"WaitForInput\.after_loss was called .* ago, and has not returned\."
        assert re.search(called, text(page, "#banner"))
        wait_until(lambda: nanoseconds(calls_of(page)["WaitForInput.after_loss"][2]) > 2e9)
        page.screenshot(path=screenshots() / "stuck.png")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: text(page, "#banner").startswith("PROCESS DIED in"))
        assert "batch › scored, epoch 2 / 4, batch 8 / 12" in text(page, "#banner")
        assert "WaitForInput.after_loss was called, and had not returned." in text(page, "#banner")
        assert page.locator("#banner").get_attribute("role") == "alert"
        assert text(page, "#path") == "fit › epoch › train › batch › scored"
        page.screenshot(path=screenshots() / "died.png")


def test_page_follows_a_running_fit_to_its_end(browser, tmp_path):
    path = tmp_path / "run.loop"
    with training(path) as process, watching(path) as address, opened(browser, address) as page:
        wait_until(lambda: is_ready(page))
        finish_training(process)
        wait_until(lambda: text(page, "#path") == "completed")
        with Recording(path) as recording:
            row_counts = {row: total.count for row, total in totals(recording).rows.items()}
        wait_until(lambda: counts(page) == expected_counts(counts(page), row_counts))


def test_counts_on_the_arrows_equal_the_recorders_totals(page, ended):
    with Recording(ended[0]) as recording:
        recorded_totals = totals(recording)
    row_counts = {row: total.count for row, total in recorded_totals.rows.items()}
    shown = counts(page)
    assert shown == expected_counts(shown, row_counts)
    assert sum(shown.values()) > 100
    assert stat(page, "transitions").replace("\u2009", "") == str(sum(row_counts.values()))
    assert stat(page, "cancels") == "4"
    calls = {name: int(n) for name, n, *_ in table(page, "handlers")}
    assert calls == {entry.name: total.count for entry, total in recorded_totals.receivers.items()}


def test_each_box_shows_count_mean_and_heat_of_its_phase(page, ended):
    with Recording(ended[0]) as recording:
        by_phase = totals(recording).phases
    work = sum(total.ns for phase, total in by_phase.items() if "." in phase)
    hottest = 0
    for phase, (title, heat) in boxes(page).items():
        total = by_phase.get(phase)
        if total is None:
            assert (title, heat) == ("", 0)
        elif "." in phase:
            parts = BOX_TITLE.match(title)
            assert parts["count"].replace("\u2009", "") == str(total.count)
            assert nanoseconds(parts["mean"]) == pytest.approx(total.mean * 1e9, rel=ROUNDED)
            assert nanoseconds(parts["all"]) == pytest.approx(total.ns, rel=ROUNDED)
            assert heat == pytest.approx(total.ns / work, abs=1e-3)
            hottest = max(hottest, heat)
    assert hottest > 0.1


def test_costs_of_modules_are_the_sums_of_their_handlers(page, ended):
    with Recording(ended[0]) as recording:
        recorded_totals = totals(recording)
    costs = {}
    for entry, total in recorded_totals.receivers.items():
        calls, ns = costs.get(entry.module, (0, 0))
        costs[entry.module] = calls + total.count, ns + total.ns
    shown = table(page, "modules")
    assert {row[0]: int(row[1]) for row in shown} == {name: n for name, (n, _) in costs.items()}
    for name, _, time, _ in shown:
        assert nanoseconds(time) == pytest.approx(costs[name][1], rel=ROUNDED)


def test_curves_show_the_recorded_scalars(page, ended):
    with Recording(ended[0]) as recording:
        start, expected = recording.meta.monotonic_ns, {}
        for scalar in recording.scalars():
            expected.setdefault(scalar.name, []).append([scalar.time_ns - start, scalar.value])
    assert len(expected) > 1
    assert page.evaluate(SHOWN_SCALARS) == expected


def test_drag_over_the_timeline_zooms_and_counts_only_that_window(page, ended):
    taken = transitions(ended[0])
    drag(page, "#lanes", *middle_half(page, taken))
    start, end, instant = window(page)
    assert instant is None
    inside = [entry for time, entry in taken if start < time <= end]
    assert 0 < len(inside) < len(taken)
    wait_until(lambda: stat(page, "transitions") == str(len(inside)))
    row_counts = {row: sum(entry.row == row for entry in inside) for row in range(40)}
    assert counts(page) == expected_counts(counts(page), row_counts)


def test_times_of_a_window_are_computed_from_its_records(page, ended):
    taken = transitions(ended[0])
    drag(page, "#lanes", *middle_half(page, taken))
    start, end, _ = window(page)
    spent, phase, since = {}, "", 0
    for time, entry in [*taken, (end, None)]:
        inside = min(time, end) - max(since, start)
        if phase and inside > 0:
            spent[phase] = spent.get(phase, 0) + inside
        phase, since = entry.destination if entry else "", time
    wait_until(lambda: page.evaluate(SHOWN_TIMES) == pytest.approx(spent, abs=1e-3))


def test_counts_cover_the_whole_run_after_the_ring_lost_records(browser, tmp_path):
    path = tmp_path / "run.loop"
    recorded(path, epochs=12, records=256).close()
    with Recording(path) as recording:
        row_counts = {row: total.count for row, total in totals(recording).rows.items()}
    with watching(path) as address, opened(browser, address) as page:
        wait_until(lambda: is_ready(page))
        assert page.evaluate("trackside.records.length") < 256
        assert counts(page) == expected_counts(counts(page), row_counts)
        page.keyboard.press("End")
        wait_until(lambda: text(page, "#chart-scope").startswith("· up to"))
        assert counts(page) == expected_counts(counts(page), row_counts)


def test_drag_in_the_overview_moves_the_window(page):
    drag(page, "#overview", 0.2, 0.4)
    start, end, _ = window(page)
    drag(page, "#overview", 0.3, 0.5)
    moved = window(page)
    assert moved[0] > start
    assert moved[1] - moved[0] == pytest.approx(end - start)


def test_click_selects_a_time_and_arrow_keys_step_by_transition(page, ended):
    taken = transitions(ended[0])
    click(page, "#lanes", middle_half(page, taken)[0])
    before = [entry for time, entry in taken if time <= window(page)[2]]
    wait_until(lambda: stat(page, "transitions") == str(len(before)))
    assert text(page, "#path") == before[-1].destination.removesuffix(".run").replace(".", " › ")
    for key, step in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        time, entry = taken[len(before) - 1 + step]
        wait_until(lambda step=step: stat(page, "transitions") == str(len(before) + step))
        assert window(page)[2] == time
        assert phases(page, "here") == [BOX.sub("", entry.destination)]


def test_the_note_of_a_selected_instant_says_how_to_have_its_batch_again(page, ended):
    taken = transitions(ended[0])
    click(page, "#lanes", middle_half(page, taken)[0])
    trained = 0
    for _ in range(16):
        page.keyboard.press("ArrowRight")
        before = [entry for time, entry in taken if time <= window(page)[2]]
        phase = before[-1].destination
        made = sum(entry.trigger == "after_step" for entry in before)
        expected = f"--step {made - phase.endswith('zero_grad')}"
        in_training = ".train." in phase
        said = lambda e=expected, t=in_training: (e in text(page, "#note")) == t  # noqa: E731
        wait_until(said)
        trained += in_training
    assert trained > 4


def test_keys_select_cancels_zoom_and_return_to_the_live_end(page):
    page.keyboard.press("Home")
    page.keyboard.press("c")
    wait_until(lambda: stat(page, "cancels") == "1")
    assert text(page, "#path").endswith("batch › cancelled")
    page.keyboard.press("+")
    zoomed = window(page)
    assert zoomed[0] <= zoomed[2] <= zoomed[1]
    page.keyboard.press("Shift+ArrowRight")
    wait_until(lambda: text(page, "#path").endswith("batch › forward"))
    page.keyboard.press("l")
    wait_until(lambda: text(page, "#path") == "completed")
    assert window(page)[2] is None


def test_replay_advances_until_it_is_paused(page):
    page.select_option("#speed", label="slowly, 1/100")
    page.locator("#lanes").focus()
    page.keyboard.press("Home")
    start = window(page)[2]
    page.keyboard.press("Space")
    wait_until(lambda: page.get_attribute("#play", "aria-pressed") == "true")
    wait_until(lambda: window(page)[2] > start)
    page.keyboard.press("Space")
    wait_until(lambda: page.get_attribute("#play", "aria-pressed") == "false")
    wait_until_drawn(page)
    paused = window(page)[2]
    page.keyboard.press("[")
    wait_until_drawn(page)
    assert start < window(page)[2] == paused


def test_page_waits_for_recordings_and_shows_the_chosen_or_replaced_one(browser, tmp_path):
    with watching(tmp_path) as address, opened(browser, address) as page:
        wait_until(lambda: text(page, "#path") == "no recording yet")
        recorded(tmp_path / "one.loop", epochs=1).close()
        wait_until(lambda: is_ready(page) and text(page, "#path") == "completed")
        recorded(tmp_path / "two.loop", epochs=3).close()
        page.reload()
        wait_until(lambda: is_ready(page))
        assert page.locator("#run option").all_inner_texts() == ["two", "one"]
        assert stat(page, "epoch") == "3 / 3"
        page.select_option("#run", label="one")
        wait_until(lambda: is_ready(page) and stat(page, "epoch") == "1 / 1")
        assert page.title() == "one · trackside"
        recorded(tmp_path / "one.loop", epochs=2).close()
        wait_until(lambda: stat(page, "epoch") == "2 / 2")


def test_names_from_a_recording_are_inserted_as_text(page):
    assert f"{MARKUP}.after_batch" in [row[0] for row in table(page, "handlers")]
    assert table(page, "cancels")[0][:2] == ["batch: too <b>hard</b>", "4"]
    assert page.evaluate("document.querySelectorAll('script').length") == 1
    assert page.title() == "run · trackside"


def test_help_lists_the_keys_and_escape_closes_it(page):
    page.keyboard.press("?")
    assert "the next cancel" in text(page, "#help")
    page.keyboard.press("Escape")
    wait_until(lambda: page.locator("#help").is_hidden())


def test_focusable_elements_have_a_name_and_a_visible_focus(browser, ended):
    seen = set()
    with open_whole_run(browser, ended[1]) as page:
        for _ in range(30):
            page.keyboard.press("Tab")
            name, labels, outline = page.evaluate(FOCUSED)
            if name in ("BODY", "HTML"):
                break
            seen.add(name)
            assert labels.strip(), name
            assert outline >= 2, name
    assert {"lanes", "overview", "live", "play", "speed", "help-open"} <= seen


TOO_WIDE = "(all) => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.className)"


def test_page_is_never_wider_than_the_window(browser, ended):
    for width, height in WIDTHS.items():
        size = {"width": width, "height": height}
        with open_whole_run(browser, ended[1], viewport=size) as page:
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                case = f"{scheme}-{width}"
                assert page.evaluate("document.documentElement.scrollWidth") <= width, case
                elements = page.locator(".card, .board, table")
                assert elements.evaluate_all(TOO_WIDE) == [], case
                page.screenshot(path=screenshots() / f"{case}.png", full_page=True)
