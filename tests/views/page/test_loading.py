"""While a recording is read the page says so; then it says which part of the run it has."""

import base64

import pytest
from browsers import is_ready, opened
from helpers import batches, trainer_of
from watched import CancelOneBatch, wait_until

from trackside.handlers import Metrics, Recorder
from trackside.views.page.recording_feed import RecordingFeed
from trackside.views.page.report import write_report
from trackside.views.recordings.recording import Recording
from trackside.views.recordings.totals import totals

EPOCHS = 15
PIECE = 100
SHOW = """async ([message, records]) => {
    const drawn = trackside.framesDrawn;
    trackside.update(message, Uint8Array.from(atob(records), (c) => c.charCodeAt(0)));
    while (message.left === 0 && trackside.framesDrawn === drawn)
        await new Promise((done) => setTimeout(done, 5));
}"""


def recorded(path, records):
    """A fit that cancels one batch of each of its epochs."""
    trainer = trainer_of(Metrics(), CancelOneBatch(), Recorder(path, records=records))
    trainer.fit(batches(8), batches(2), epochs=EPOCHS)
    return path


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    """A recording whose ring has overwritten most records."""
    return recorded(tmp_path_factory.mktemp("loading") / "lost.loop", 512)


@pytest.fixture(scope="module")
def whole(lost):
    return recorded(lost.with_name("whole.loop"), 2**12)


@pytest.fixture(scope="module")
def page(browser, whole):
    write_report([whole], whole.with_suffix(".html"))
    with opened(browser, whole.with_suffix(".html").as_uri()) as page:
        wait_until(lambda: is_ready(page))
        yield page


def begun(page, path, earlier=0):
    """The page has the description of a recording; its updates. It began so many ns earlier."""
    feed = RecordingFeed(path)
    begin = feed.begin()
    start = int(begin["monotonic_ns"]) - earlier
    page.evaluate("(meta) => trackside.begin(meta)", begin | {"monotonic_ns": str(start)})
    update = feed.update(0, PIECE)
    while True:
        update.message["live"]["now"] += earlier
        yield update.message, base64.b64encode(update.records).decode()
        if not update.message["left"]:
            return feed.close()
        update = feed.update(update.next, PIECE)


def show_all(page, path, earlier=0):
    for piece in begun(page, path, earlier):
        page.evaluate(SHOW, piece)


def text(page, place):
    return page.locator(place).inner_text()


def cancels(page):
    """Their number above, in the table, and at the arrow of the loop."""
    stat = page.locator("#stats div", has_text="cancels").locator("dd").inner_text()
    rows = page.locator("#cancels tbody tr td:nth-child(2)").all_inner_texts()
    arrow = page.locator("#board .arrow.cancel:not(.never) .count").all_text_contents()
    return [int(stat), sum(map(int, rows)), sum(map(int, arrow))]


def test_until_all_records_are_read_the_page_says_so_and_shows_nothing_of_the_run(page, lost):
    *first, last = begun(page, lost)
    assert text(page, "#loading") == "Reading the recording"
    assert len(first) > 2
    read = 0
    for piece in first:
        page.evaluate(SHOW, piece)
        read += piece[0]["count"]
        share = read / (read + piece[0]["left"])
        assert text(page, "#loading") == f"Reading the recording: {int(100 * share)} %"
        assert text(page, "#path") == "loading"
        for hidden in ("#board", "#stats", "#lanes", "#overview", "#side", "#note"):
            assert not page.locator(hidden).is_visible()
        assert page.locator("#show-runs").is_visible()  # another run can be chosen
    page.evaluate(SHOW, last)
    assert text(page, "#path") == "completed"
    assert page.locator("#board").is_visible()
    assert page.locator("#loading").is_hidden()


def test_counts_of_cancels_agree_everywhere_also_of_those_that_are_overwritten(page, lost):
    show_all(page, lost)
    assert cancels(page) == [EPOCHS] * 3
    with Recording(lost) as recording:
        assert sum(total.count for entry, total in totals(recording).transitions.items()
                   if entry.trigger == "after_cancel_batch") == EPOCHS  # fmt: skip
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    wait_until(lambda: text(page, "#cancels-scope").startswith("· up to"))
    above, table, _ = cancels(page)
    assert above == table < EPOCHS
    page.keyboard.press("l")


def test_counts_of_cancels_agree_at_the_instant_of_a_cancel(page, whole):
    show_all(page, whole)
    page.keyboard.press("Home")
    for number in (1, 2):
        page.keyboard.press("c")
        wait_until(lambda number=number: cancels(page) == [number] * 3)
    assert "overwritten" not in text(page, "#cancels")
    page.keyboard.press("l")


def test_a_cancel_that_is_counted_before_its_record_is_read_is_not_told_as_lost(page, whole):
    *_, (message, records) = pieces = [*begun(page, whole)]
    trigger = "after_cancel_batch"
    for piece in pieces[:-1]:
        page.evaluate(SHOW, piece)
    table = [line for piece, _ in pieces for line in piece["table"]]
    numbers = [line[1] for line in table if line[0] == "transition" and line[2] == trigger]
    counted = [one for one in message["totals"]["transitions"] if one[0] in numbers]
    counted[0][1] += 1
    page.evaluate(SHOW, [message, records])
    assert cancels(page)[:2] == [EPOCHS] * 2
    assert "overwritten" not in text(page, "#cancels")


def test_the_part_of_the_run_that_is_shown_is_named(page, whole, lost):
    show_all(page, lost)
    page.keyboard.press("4")
    wait_until(lambda: text(page, "#shares-scope").startswith("· since"))
    first = f"{page.evaluate('trackside.records.first') / 1e9:.2f} s"
    assert f"Records before {first} were overwritten; the totals are exact." in text(page, "#note")
    show_all(page, whole)
    page.keyboard.press("4")
    wait_until(lambda: text(page, "#shares-scope") == "· the whole run")
    assert "overwritten" not in text(page, "#note")


def test_the_time_before_the_first_transition_is_not_told_as_overwritten(page, whole):
    show_all(page, whole, earlier=5_000_000_000)
    assert page.evaluate("trackside.records.first") > 5e9
    assert text(page, "#shares-scope") == "· the whole run"
    assert "overwritten" not in text(page, "#note")


def test_a_page_that_is_behind_by_more_than_a_moment_says_so_again(page, whole):
    *_, (message, _) = begun(page, whole)
    show_all(page, whole)
    now = message["live"]["now"]
    for behind, is_loading in ((5e8, False), (5e9, True)):
        live = message["live"] | {"now": now + behind}
        later = message | {"table": [], "live": live, "left": 70_000, "count": 0}
        page.evaluate("(message) => trackside.update(message, new Uint8Array(0))", later)
        assert page.locator("#loading").is_visible() == is_loading
    page.evaluate(SHOW, [message | {"table": [], "count": 0}, ""])
    assert page.locator("#loading").is_hidden()


def test_a_page_that_the_server_refuses_says_so_before_it_has_shown_a_run(page, whole):
    [*begun(page, whole)]
    page.evaluate("trackside.onConnection(true)")
    assert text(page, "#loading").startswith("The server refuses this page")
    page.evaluate("trackside.onConnection(null)")
    assert text(page, "#loading") == "Reading the recording"
    show_all(page, whole)
