"""The page with embedded recordings, opened as a file."""

import json
import re

import pytest
from browsers import is_ready, opened
from helpers import batches, trainer_of
from recordings import recorded_ranks
from watched import fit, record_many, screenshots, wait_until

from trackside.handlers import Recorder
from trackside.views.output.units import format_duration
from trackside.views.page.recording_feed import RecordingFeed
from trackside.views.page.report import write_report
from trackside.views.recordings.rank_comparison import compare_ranks
from trackside.views.recordings.recording import Recording
from trackside.views.recordings.totals import totals


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "run.loop"
    fit(path)
    return path


def test_report_command_writes_the_page_next_to_the_recording(run_in, recording, tmp_path):
    done = run_in(tmp_path, "report", recording)
    assert (done.returncode, done.stdout) == (0, f"wrote {recording.with_suffix('.html')}\n")
    done = run_in(tmp_path, "report", recording, recording, "-o", "both.html")
    assert done.returncode == 0
    html = (tmp_path / "both.html").read_text(encoding="utf-8")
    descriptions = json.loads(re.search(r'id="recordings">(.*?)</script>', html)[1])
    assert [entry["begin"]["name"] for entry in descriptions] == ["run", "run"]


def test_report_opens_offline_with_all_counts(browser, recording, tmp_path):
    page_file = tmp_path / "run.html"
    write_report([recording], page_file)
    with Recording(recording) as source:
        taken = sum(total.count for total in totals(source).transitions.values())
    with opened(browser, page_file.as_uri()) as page:
        wait_until(lambda: is_ready(page))
        shown = page.locator("#stats div", has_text="transitions").locator("dd").inner_text()
        assert shown.replace("\u2009", "") == str(taken)
        assert page.inner_text("#path") == "completed"
        page.screenshot(path=screenshots() / "report.png")


def test_report_of_a_million_records_is_below_ten_megabytes_and_loads(browser, tmp_path):
    path, page_file = tmp_path / "run.loop", tmp_path / "run.html"
    record_many(path, 1_000_000)
    write_report([path], page_file)
    assert page_file.stat().st_size < 10_000_000
    with opened(browser, page_file.as_uri()) as page:
        wait_until(lambda: is_ready(page))
        assert page.evaluate("trackside.records.length") >= 1_000_000
        page.keyboard.press("Home")
        page.keyboard.press("Shift+ArrowRight")
        wait_until(lambda: page.inner_text("#path").endswith("batch › forward"))


def test_a_file_that_cannot_be_read_is_a_one_line_error(refused):
    for path in ("nowhere.loop", "jobs.py"):
        assert f"cannot read {path}" in refused("report", path)


def test_a_report_that_cannot_be_written_leaves_no_file(refused, recording, tmp_path):
    assert "cannot write nowhere/run.html" in refused("report", recording, "-o", "nowhere/run.html")
    assert not (tmp_path / "nowhere").exists()


def test_the_report_of_a_run_that_goes_on_ends(tmp_path, monkeypatch):
    trainer = trainer_of(Recorder(tmp_path / "run.loop", records=2**12))
    trainer.fit(batches(2))
    update, updates = RecordingFeed.update, []

    def update_while_it_runs(feed, *arguments, **options):
        updates.append(update(feed, *arguments, **options))
        assert len(updates) < 20
        trainer.fit(batches(1))
        return updates[-1]

    monkeypatch.setattr(RecordingFeed, "update", update_while_it_runs)
    write_report([tmp_path / "run.loop"], tmp_path / "run.html")
    assert (tmp_path / "run.html").exists()


def test_report_of_a_folder_shows_the_ranks_of_a_run_side_by_side(browser, tmp_path, monkeypatch):
    ranks = recorded_ranks(tmp_path, monkeypatch, lambda _, trainer: trainer.fit(batches(3)))
    compared = compare_ranks(ranks).ranks
    write_report([tmp_path], tmp_path / "run.html")
    cells = "(all) => all.map(row => [...row.cells].map(cell => cell.textContent))"
    with opened(browser, (tmp_path / "run.html").as_uri()) as page:
        wait_until(lambda: is_ready(page))
        shown = page.locator("#ranks tbody tr").evaluate_all(cells)
        phases = page.locator("#rank-phases tbody tr").evaluate_all(cells)
        assert page.locator("#ranks-card").is_visible()
        page.screenshot(path=screenshots() / "ranks.png")
    assert [row[:2] for row in shown] == [["0", "completed"], ["1", "completed"]]
    for row, one in zip(shown, compared, strict=True):
        assert row[2].split()[1] == format_duration(one.waited / 1e9).split()[1]
    means = [one.phases["fit.epoch.train.batch.forward"].mean for one in compared]
    (forward,) = [row for row in phases if row[0] == "train › batch › forward"]
    assert int(forward[3]) == means.index(max(means))
    assert [float(text.split()[0]) for text in forward[1:3]] == pytest.approx(
        [float(format_duration(mean).split()[0]) for mean in sorted(means)], rel=0.01
    )


def test_report_of_one_process_has_no_table_of_ranks(browser, recording, tmp_path):
    write_report([recording], tmp_path / "run.html")
    with opened(browser, (tmp_path / "run.html").as_uri()) as page:
        wait_until(lambda: is_ready(page))
        assert page.locator("#ranks-card").is_hidden()
