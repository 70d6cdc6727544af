"""The runs of a folder in a table, compared and laid over each other, in a real browser."""

import re

import pytest
from browsers import is_ready, opened
from helpers import batches, trainer_of
from watched import TOKEN, NamedLikeMarkup, screenshots, wait_until, watching

from trackside.handlers import Metrics, Recorder
from trackside.views.page.report import write_report

LONG = "a-run-with-a-very-long-name-of-many-words-and-its-learning-rate-0.003"
NAMES = {LONG: 1, "brisk": 2, "other": 3}
"""Recordings by name, and their seeds; the last begins last."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in NAMES.items():
        record(folder / f"{name}.loop", epochs=3 + seed, seed=seed)
    write_report([folder], folder / "report.html")
    return folder


def record(path, epochs, seed):
    trainer = trainer_of(Metrics(), NamedLikeMarkup(), Recorder(path, scalars=3))
    trainer.fit(batches(6, seed=seed), batches(2), epochs=epochs, seed=seed)


@pytest.fixture(scope="module")
def shared_page(browser, folder):
    with opened(browser, (folder / "report.html").as_uri()) as page:
        wait_until(lambda: is_ready(page))
        yield page


@pytest.fixture
def page(shared_page):
    """The report with the table of runs shown, not filtered, no run marked."""
    shared_page.locator("#show-runs").click()
    shared_page.locator("#run-filter").fill("")
    while shared_page.locator("#runs input:checked").count():
        shared_page.locator("#runs input:checked").first.uncheck()
    wait_until(lambda: ["valid_loss" in row for row in rows(shared_page)] == [True] * 3)
    return shared_page


def rows(page):
    """The cells of each run, by the titles of their columns."""
    titles, *cells = page.locator("#runs").evaluate(
        "(table) => [...table.rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return [dict(zip(map(str.strip, titles), row, strict=True)) for row in cells]


def names(page):
    return [row["recording"] for row in rows(page)]


def mark(page, *marked):
    for name in marked:
        page.locator("#runs tr", has_text=name).locator("input").check()


def compared(page, part):
    """The rows of a part of the comparison."""
    section = page.locator(".compared", has=page.locator("h3", has_text=part))
    return section.locator("tr").evaluate_all(
        "(all) => all.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def test_each_run_has_its_state_its_metrics_and_the_facts_that_differ(page):
    assert names(page) == ["other", "brisk", LONG]
    first = rows(page)[0]
    assert (first["state"], first["epoch"], first["seed"]) == ("completed", "6 / 6", "3")
    assert re.match(r"\d\.\d+( · best \d\.\d+)?$", first["valid_loss"])
    assert "versions.torch" not in first
    page.screenshot(path=screenshots() / "runs.png")


def test_a_click_on_a_head_sorts_and_another_one_turns_the_order(page):
    head = page.locator("#runs th", has_text="seed")
    for order, expected in (("ascending", [LONG, "brisk", "other"]), ("descending", None)):
        head.locator("button").click()
        wanted = expected or ["other", "brisk", LONG]
        wait_until(lambda wanted=wanted: names(page) == wanted)
        assert head.get_attribute("aria-sort") == order
    page.locator("#runs th button", has_text="valid_loss").click()
    losses = [float(row["valid_loss"].split()[-1]) for row in rows(page)]
    assert losses == sorted(losses)
    page.locator("#runs th button", has_text="begun").click()


def test_the_filter_finds_names_states_and_facts_and_is_reached_by_a_key(page):
    page.locator("#runs .link").first.focus()
    page.keyboard.press("/")
    for text, found in (("bris", ["brisk"]), ("seed=3 completed", ["other"]), ("failed", [])):
        page.locator("#run-filter:focus").fill(text)
        wait_until(lambda found=found: names(page) == found)
    assert page.locator("#runs-none").is_visible()


def test_letters_typed_into_the_filter_are_no_keys_of_the_page(page):
    page.locator("#run-filter").focus()
    page.keyboard.type("fmrlc/1[+")
    assert page.locator("#run-filter:focus").input_value() == "fmrlc/1[+"
    assert page.locator("#runs-none").is_visible()


def test_arrow_keys_move_between_runs_space_marks_and_enter_opens(page):
    page.locator("#runs .link").first.focus()
    for key in ("ArrowDown", "ArrowDown", "Space", "ArrowUp", "Space", "Enter"):
        page.keyboard.press(key)
    wait_until(lambda: page.title() == "brisk · trackside")
    assert page.locator("#runs input:checked").count() == 2
    assert page.locator("#runs .opened .link").inner_text() == "brisk"
    page.locator("#runs .link", has_text="other").click()
    wait_until(lambda: page.title() == "other · trackside")


def test_marked_runs_are_compared_results_first_then_facts_then_times(page):
    mark(page, "other", LONG)
    wait_until(lambda: page.locator(".compared").count() == 3)
    titles = page.locator(".compared h3").all_inner_texts()
    assert [title.split()[0] for title in titles] == ["Results", "Facts", "Time,"]
    head, *metrics = compared(page, "Results")
    assert head == ["metric", "A other", f"B {LONG}"]
    assert "valid_loss" in [name for name, *_ in metrics]
    assert compared(page, "Facts")[1:] == [["seed", "3", "1"]]
    epoch = compared(page, "Time")[1]
    assert epoch[0] == "epoch"
    assert re.match(r"\S+ \S+ \(\S+ \S+ to \S+ \S+\)$", epoch[1])
    page.screenshot(path=screenshots() / "runs-compared.png")


def test_a_comparison_is_in_sight_however_many_runs_there_are(page):
    page.evaluate("""() => {
        const [one] = trackside.runs.recordings;
        const more = Array.from({ length: 50 }, (_, i) => ({ ...one, id: `x${i}`, name: `x${i}` }));
        trackside.runs.recordings.push(...more);
        trackside.runs.show();
    }""")
    mark(page, "brisk", LONG)
    results = page.locator(".compared h3").first
    wait_until(lambda: page.locator(".compared").count() == 3)
    wait_until(lambda: results.bounding_box()["y"] < 550)
    head = page.locator("#runs thead th").nth(1)
    before = head.bounding_box()
    page.locator("#runs-card > .wide").evaluate("(place) => { place.scrollTop = 500; }")
    after = head.bounding_box()
    page.screenshot(path=screenshots() / "runs-many-compared.png")
    page.evaluate("() => { trackside.runs.recordings.splice(3); trackside.runs.show(); }")
    assert abs(after["y"] - before["y"]) < 10


def test_curves_of_marked_runs_are_laid_over_those_of_the_shown_one(page):
    pictures = "(all) => all.map(e => e.toDataURL())"
    page.locator("#show-curves").click()
    wait_until(lambda: page.locator(".metric").count() == 4)
    alone = page.locator(".metric canvas").evaluate_all(pictures)
    assert page.locator("#curves-legend li").count() == 0
    page.locator("#show-runs").click()
    mark(page, "brisk", LONG)
    page.locator("#show-curves").click()
    legend = page.locator("#curves-legend li")
    wait_until(lambda: legend.all_inner_texts() == ["A other", "B brisk", f"C {LONG}"])
    wait_until(lambda: page.locator(".metric canvas").evaluate_all(pictures) != alone)
    caption = page.locator(".metric figcaption", has_text="valid_loss").inner_text()
    ends = r"at step 36 · B \d\S+ \(step 30\) · C \d\S+ \(step 24\)$"  # of runs that were shorter
    assert re.search(ends, caption)
    page.screenshot(path=screenshots() / "curves-overlaid.png")


def test_facts_of_the_shown_run_are_listed_in_groups(page):
    page.keyboard.press("Escape")
    page.locator("#show-facts").click()
    groups = page.locator(".facts-group h3")
    expected = {"run", "versions", "machine", "process"}
    wait_until(lambda: expected <= {*groups.all_inner_texts()})
    run = page.locator(".facts-group", has=page.locator("h3", has_text="run"))
    wait_until(lambda: "seed\n3" in run.first.inner_text())


def test_tables_and_long_names_stay_inside_narrow_and_wide_windows(browser, folder):
    with opened(browser, (folder / "report.html").as_uri()) as page:
        wait_until(lambda: is_ready(page))
        page.keyboard.press("r")
        mark(page, *NAMES)
        for width in (400, 768, 1440, 2560):
            page.set_viewport_size({"width": width, "height": 900})
            for key in ("r", "f", "m"):
                if key != "r":
                    page.keyboard.press(key)
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, key)
            page.keyboard.press("r")
            page.screenshot(path=screenshots() / f"runs-{width}.png")


def test_a_served_page_reads_results_and_details_of_each_run(browser, folder):
    with watching(folder, "--token", TOKEN) as address, opened(browser, address) as page:
        wait_until(lambda: is_ready(page))
        page.keyboard.press("r")
        wait_until(lambda: "valid_loss" in (rows(page) or [{}])[0])
        mark(page, "other", "brisk")
        wait_until(lambda: page.locator(".compared").count() == 3)
        assert compared(page, "Facts")[1:] == [["seed", "3", "2"]]


def test_a_served_page_reads_facts_of_later_runs_and_marked_runs_again(browser, tmp_path):
    with watching(tmp_path, "--token", TOKEN) as address, opened(browser, address) as page:
        wait_until(lambda: page.locator("#path").inner_text() == "no recording yet")
        for name, seed in {"one": 1, "two": 2}.items():
            record(tmp_path / f"{name}.loop", epochs=2, seed=seed)
        wait_until(lambda: is_ready(page))
        page.locator("#show-facts").click()
        wait_until(lambda: "seed" in page.locator("#facts").inner_text())
        page.locator("#show-runs").click()
        wait_until(lambda: len(rows(page)) == 2)
        mark(page, "one", "two")
        wait_until(lambda: curve_lengths(page) == [2, 2])
        record(tmp_path / "one.loop", epochs=4, seed=1)
        wait_until(lambda: curve_lengths(page) == [2, 4])


def curve_lengths(page):
    details = "[...trackside.runs.details.values()]"
    return sorted(page.evaluate(f"{details}.map((one) => one.curves.valid_loss.length)"))
