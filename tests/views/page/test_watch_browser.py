"""The live page in a real browser, of a real training process."""

import os
import re
import signal

import pytest
from browsers import chromium, is_ready, opened
from recordings import recorded
from watched import MARKUP, TOKEN, fit, go_on, screenshots, training, until, watching

from trackside.handlers.recording.format import Kind
from trackside.views.recordings.recording import Recording
from trackside.views.recordings.totals import totals

BOX = re.compile(r"\.(run|cancelled)$")
"""What of a phase is not in the name of its box on the board."""
SCORED = "fit.epoch.train.batch.scored"
SHOWN_TIMES = """Object.fromEntries(trackside.names.paths
    .map((path, i) => [path, trackside.numbers.shares.leaves[i]])
    .filter(([, ns]) => ns > 0))"""
FOCUSED = """() => {
    const e = document.activeElement, style = getComputedStyle(e);
    const labels = [e.ariaLabel, e.innerText, e.labels?.[0]?.innerText];
    return [e.id || e.tagName, labels.filter(Boolean).join(" "),
            style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)];
}"""
SHOWN_SCALARS = """Object.fromEntries(trackside.names.scalars.flatMap(({name}, id) => {
    const { length, times, values } = trackside.records.events.scalars[id];
    return [[name, Array.from({ length }, (_, i) => [times[i], values[i]])]];
}))"""
TOLD = re.compile(r"(?P<count>[\d\u2009]+)×, mean (?P<mean>\S+ \S+), in all (?P<all>\S+ \S+)$")
UNITS = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}
ROUNDED = 0.006
"""Times are told with three digits, or two decimals."""
WIDTHS = {360: 740, 768: 1024, 1440: 900, 2560: 1440}


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def ended(browser, tmp_path_factory):
    """The recording of a fit that has ended, and the address of the page that shows it."""
    path = tmp_path_factory.mktemp("ended") / "run.loop"
    fit(path)
    while seconds(path) > 0.9:  # the page warms its boxes by the last second
        fit(path)
    with watching(path, "--token", TOKEN) as address:
        yield path, address


def seconds(path):
    """From the first record to the last."""
    with Recording(path) as recording:
        times = [record.time_ns for record in recording.records()]
    return (times[-1] - times[0]) / 1e9


@pytest.fixture
def page(browser, ended):
    """The page of that fit."""
    with opened(browser, ended[1]) as page:
        until(lambda: is_ready(page))
        page.keyboard.press("4")
        yield page


def phases(page, mark):
    """Which boxes of the board are `here`, where the loop is, or `around` that."""
    return page.locator(f"#board .{mark}").evaluate_all("(all) => all.map(e => e.dataset.phase)")


def counts(page):
    """The counts on the arrows of the board, by the rows of the chart that each stands for."""
    arrows = page.locator(".wire").evaluate_all(
        "(all) => all.map(e => [e.dataset.rows, Number(e.dataset.count)])"
    )
    return {tuple(map(int, rows.split())): n for rows, n in arrows}


def stat(page, name):
    """A number at the top."""
    pairs = page.locator("#stats div").evaluate_all(
        "(all) => all.map(e => [e.firstChild.textContent, e.lastChild.textContent])"
    )
    return dict(pairs)[name]


def table(page, name):
    """The cells of a table, row by row."""
    return page.locator(f"#{name} tbody tr").evaluate_all(
        "(all) => all.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def nanoseconds(told):
    """What a time says that the page tells."""
    value, unit = told.split()
    return float(value) * UNITS[unit]


def boxes(page):
    """What the box of each leaf says, and how warm it is, by the phase."""
    told = page.locator("#board .leaf").evaluate_all(
        "(all) => all.map(e => [e.title, Number(e.style.getPropertyValue('--heat'))])"
    )
    return {title.partition("\n")[0]: (title.partition("\n")[2], heat) for title, heat in told}


def drawn_counts(page):
    """The same on the arrows of the drawn chart, as they are written."""
    arrows = page.locator("#chart .arrow").evaluate_all(
        "(all) => all.map(e => [e.dataset.rows, e.querySelector('.count').textContent])"
    )
    return {tuple(map(int, rows.split())): n for rows, n in arrows}


def text(page, element):
    """What an element says, on one line."""
    return " ".join(page.inner_text(element).split())


def of_rows(shown, made):
    """What the arrows that are shown should say, where `made` is a count for each row."""
    return {rows: sum(made.get(row, 0) for row in rows) for rows in shown}


def transitions(path):
    """(seconds since the recorder was attached, entry) of each transition."""
    with Recording(path) as recording:
        start, names = recording.meta.monotonic_ns, recording.table
        return [
            (record.time_ns - start, names.transition(record.id))
            for record in recording.records()
            if record.kind == Kind.TRANSITION
        ]


def window(page):
    """What is looked at, in nanoseconds: from, to, and the instant."""
    return page.evaluate("[trackside.view.from, trackside.view.to, trackside.view.instant]")


def middle_half(page, made):
    """Two places on the timeline of the whole run, with half of the transitions between them."""
    first, end = page.evaluate("[trackside.view.first, trackside.view.end]")
    start, stop = (made[len(made) * part // 4][0] for part in (1, 3))
    return (start - first) / (end - first), max((stop - first) / (end - first), 0.02)


def drag(page, element, start, end):
    """Drag over an element, from one share of the time that it shows to another."""
    page.mouse.move(*place(page, element, start))
    page.mouse.down()
    for share in ((start + end) / 2, end):
        page.mouse.move(*place(page, element, share))
    page.mouse.up()


def click(page, element, share):
    """Click into an element, at a share of the time that it shows."""
    page.mouse.click(*place(page, element, share))


def place(page, element, share):
    """Where on the page that is."""
    box = page.locator(element).bounding_box()
    left, right = box["x"] + 86, box["x"] + box["width"] - 10
    return left + (right - left) * share, box["y"] + box["height"] / 2


def test_the_live_phase_is_lit_and_then_a_process_that_stands_still_is_told_as_stuck_or_dead(
    browser, tmp_path
):
    with (
        training(tmp_path / "run.loop") as process,
        watching(tmp_path) as address,
        opened(browser, address) as page,
    ):
        until(lambda: is_ready(page))
        until(lambda: phases(page, "here") == [SCORED])
        assert phases(page, "around") == ["fit", "fit.epoch", "fit.epoch.train", SCORED[:21]]
        assert (stat(page, "epoch"), stat(page, "batch")) == ("2 / 4", "8 / 12")
        process.send_signal(signal.SIGSTOP)
        until(lambda: text(page, "#banner").startswith("STUCK in"))
        assert "batch › scored, epoch 2 / 4, batch 8 / 12" in text(page, "#banner")
        page.screenshot(path=screenshots() / "stuck.png")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: text(page, "#banner").startswith("PROCESS DIED in"))
        assert "batch › scored, epoch 2 / 4, batch 8 / 12" in text(page, "#banner")
        assert page.locator("#banner").get_attribute("role") == "alert"
        assert text(page, "#path") == "fit › epoch › train › batch › scored"
        page.screenshot(path=screenshots() / "died.png")


def test_a_fit_that_goes_on_is_followed_to_its_end(browser, tmp_path):
    path = tmp_path / "run.loop"
    with training(path) as process, watching(path) as address, opened(browser, address) as page:
        until(lambda: is_ready(page))
        go_on(process)
        until(lambda: text(page, "#path") == "completed")
        with Recording(path) as recording:
            made = {row: total.count for row, total in totals(recording).rows.items()}
        until(lambda: counts(page) == of_rows(counts(page), made))


def test_the_counts_on_the_arrows_are_the_recorders_totals(page, ended):
    with Recording(ended[0]) as recording:
        found = totals(recording)
    made = {row: total.count for row, total in found.rows.items()}
    shown = counts(page)
    assert shown == of_rows(shown, made)
    assert sum(shown.values()) > 100
    assert stat(page, "transitions").replace("\u2009", "") == str(sum(made.values()))
    assert stat(page, "cancels") == "4"
    calls = {name: int(n) for name, n, *_ in table(page, "handlers")}
    assert calls == {entry.name: total.count for entry, total in found.receivers.items()}


def test_each_box_says_its_count_and_mean_time_and_is_as_warm_as_its_share_of_the_work(page, ended):
    with Recording(ended[0]) as recording:
        found = totals(recording).phases
    work = sum(total.ns for phase, total in found.items() if "." in phase)
    warmest = 0
    for phase, (told, heat) in boxes(page).items():
        total = found.get(phase)
        if total is None:
            assert (told, heat) == ("", 0)
        elif "." in phase:
            parts = TOLD.match(told)
            assert parts["count"].replace("\u2009", "") == str(total.count)
            assert nanoseconds(parts["mean"]) == pytest.approx(total.mean * 1e9, rel=ROUNDED)
            assert nanoseconds(parts["all"]) == pytest.approx(total.ns, rel=ROUNDED)
            assert heat == pytest.approx(total.ns / work, abs=1e-3)
            warmest = max(warmest, heat)
    assert warmest > 0.1


def test_the_bill_of_the_modules_is_what_their_handlers_come_to(page, ended):
    with Recording(ended[0]) as recording:
        found = totals(recording)
    bill = {}
    for entry, total in found.receivers.items():
        calls, ns = bill.get(entry.module, (0, 0))
        bill[entry.module] = calls + total.count, ns + total.ns
    shown = table(page, "modules")
    assert {row[0]: int(row[1]) for row in shown} == {name: n for name, (n, _) in bill.items()}
    for name, _, told, _ in shown:
        assert nanoseconds(told) == pytest.approx(bill[name][1], rel=ROUNDED)


def test_the_curves_are_of_the_scalars_that_were_recorded(page, ended):
    with Recording(ended[0]) as recording:
        start, known = recording.meta.monotonic_ns, {}
        for scalar in recording.scalars():
            known.setdefault(scalar.name, []).append([scalar.time_ns - start, scalar.value])
    assert len(known) > 1
    assert page.evaluate(SHOWN_SCALARS) == known


def test_a_drag_over_the_timeline_shows_that_window_and_its_numbers_alone(page, ended):
    made = transitions(ended[0])
    drag(page, "#lanes", *middle_half(page, made))
    start, end, instant = window(page)
    assert instant is None
    inside = [entry for time, entry in made if start < time <= end]
    assert 0 < len(inside) < len(made)
    until(lambda: stat(page, "transitions") == str(len(inside)))
    of_row = {row: sum(entry.row == row for entry in inside) for row in range(40)}
    assert counts(page) == of_rows(counts(page), of_row)


def test_the_times_of_a_window_are_those_of_its_records(page, ended):
    made = transitions(ended[0])
    drag(page, "#lanes", *middle_half(page, made))
    start, end, _ = window(page)
    spent, phase, since = {}, "", 0
    for time, entry in [*made, (end, None)]:
        inside = min(time, end) - max(since, start)
        if phase and inside > 0:
            spent[phase] = spent.get(phase, 0) + inside
        phase, since = entry.destination if entry else "", time
    until(lambda: page.evaluate(SHOWN_TIMES) == pytest.approx(spent, abs=1e-3))


def test_where_the_ring_has_lost_records_the_counts_are_those_of_the_whole_run(browser, tmp_path):
    path = tmp_path / "run.loop"
    recorded(path, epochs=12, records=256).close()
    with Recording(path) as recording:
        made = {row: total.count for row, total in totals(recording).rows.items()}
    with watching(path) as address, opened(browser, address) as page:
        until(lambda: is_ready(page))
        assert page.evaluate("trackside.records.length") < 256
        assert counts(page) == of_rows(counts(page), made)
        page.keyboard.press("End")
        until(lambda: text(page, "#chart-scope").startswith("· up to"))
        assert counts(page) == of_rows(counts(page), made)


def test_a_drag_over_the_whole_run_moves_the_window(page):
    drag(page, "#overview", 0.2, 0.4)
    start, end, _ = window(page)
    drag(page, "#overview", 0.3, 0.5)
    moved = window(page)
    assert moved[0] > start
    assert moved[1] - moved[0] == pytest.approx(end - start)


def test_a_click_shows_the_instant_and_keys_go_from_transition_to_transition(page, ended):
    made = transitions(ended[0])
    click(page, "#lanes", middle_half(page, made)[0])
    before = [entry for time, entry in made if time <= window(page)[2]]
    until(lambda: stat(page, "transitions") == str(len(before)))
    assert text(page, "#path") == before[-1].destination.removesuffix(".run").replace(".", " › ")
    for key, step in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        time, entry = made[len(before) - 1 + step]
        until(lambda step=step: stat(page, "transitions") == str(len(before) + step))
        assert window(page)[2] == time
        assert phases(page, "here") == [BOX.sub("", entry.destination)]


def test_keys_go_to_cancels_zoom_and_come_back_to_the_live_end(page):
    page.keyboard.press("Home")
    page.keyboard.press("c")
    until(lambda: stat(page, "cancels") == "1")
    assert text(page, "#path").endswith("batch › cancelled")
    page.keyboard.press("+")
    zoomed = window(page)
    assert zoomed[0] <= zoomed[2] <= zoomed[1]
    page.keyboard.press("Shift+ArrowRight")
    until(lambda: text(page, "#path").endswith("batch › forward"))
    page.keyboard.press("l")
    until(lambda: text(page, "#path") == "completed")
    assert window(page)[2] is None


def test_a_replay_goes_on_by_itself_and_pauses(page):
    page.select_option("#speed", label="slowly, 1/100")
    page.locator("#lanes").focus()
    page.keyboard.press("Home")
    start = window(page)[2]
    page.keyboard.press("Space")
    until(lambda: page.get_attribute("#play", "aria-pressed") == "true")
    until(lambda: window(page)[2] > start)
    page.keyboard.press("Space")
    until(lambda: page.get_attribute("#play", "aria-pressed") == "false")
    drawn = page.evaluate("trackside.drawn")
    stands = window(page)[2]
    page.keyboard.press("[")
    until(lambda: page.evaluate("trackside.drawn") > drawn)
    assert start < window(page)[2] == stands


def test_another_recording_is_shown_when_it_is_chosen_and_one_that_replaces_it_by_itself(
    browser, tmp_path
):
    recorded(tmp_path / "one.loop", epochs=1).close()
    recorded(tmp_path / "two.loop", epochs=3).close()
    with watching(tmp_path) as address, opened(browser, address) as page:
        until(lambda: is_ready(page))
        assert page.locator("#run option").all_inner_texts() == ["two", "one"]
        assert stat(page, "epoch") == "3 / 3"
        page.select_option("#run", label="one")
        until(lambda: is_ready(page) and stat(page, "epoch") == "1 / 1")
        assert page.title() == "one · trackside"
        until(lambda: len(table(page, "runs")) == 2)
        recorded(tmp_path / "one.loop", epochs=2).close()
        until(lambda: stat(page, "epoch") == "2 / 2")


def test_a_page_that_is_opened_before_there_is_a_recording_waits_for_it(browser, tmp_path):
    with watching(tmp_path) as address, opened(browser, address) as page:
        until(lambda: text(page, "#path") == "no recording there yet")
        recorded(tmp_path / "run.loop").close()
        until(lambda: is_ready(page) and text(page, "#path") == "completed")


def test_names_are_shown_as_text(page):
    assert f"{MARKUP}.after_batch" in [row[0] for row in table(page, "handlers")]
    assert table(page, "cancels")[0][:2] == ["batch: too <b>hard</b>", "4"]
    assert page.evaluate("document.querySelectorAll('script').length") == 1
    assert page.title() == "run · trackside"


def test_the_drawn_chart_is_lit_and_counts_too(page, ended):
    with Recording(ended[0]) as recording:
        made = {row: total.count for row, total in totals(recording).rows.items()}
    page.keyboard.press("d")
    shown = until(lambda: (found := drawn_counts(page)) and any(found.values()) and found)
    assert shown == {rows: str(n or "") for rows, n in of_rows(shown, made).items()}
    assert page.locator("#chart .phase.here").get_attribute("data-phase") == "completed"


def test_help_lists_the_keys_and_is_left_by_escape(page):
    page.keyboard.press("?")
    assert "the next cancel" in text(page, "#help")
    page.keyboard.press("Escape")
    until(lambda: page.locator("#help").is_hidden())


def test_what_can_be_focused_has_a_name_and_shows_its_focus(page):
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        name, labels, outline = page.evaluate(FOCUSED)
        if name in ("BODY", "HTML"):
            break
        seen.add(name)
        assert labels.strip(), name
        assert outline >= 2, name
    assert {"lanes", "overview", "live", "play", "speed", "help-open"} <= seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_page(browser, ended, width, scheme):
    size = {"width": width, "height": WIDTHS[width]}
    with opened(browser, ended[1], viewport=size, color_scheme=scheme) as page:
        until(lambda: is_ready(page))
        page.keyboard.press("4")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wide = "(all) => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.className)"
        assert page.locator(".card, .board, table").evaluate_all(wide) == []
        page.screenshot(path=screenshots() / f"{scheme}-{width}.png", full_page=True)
