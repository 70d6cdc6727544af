"""The report of a million records: `python benchmarks/page.py`, or `make bench`.

Measures its size, the time to write it, and the time of a headless Chromium from opening the file
to the first complete drawing. The targets: 10 MB, 3 s. The durations of the phases are random, so
that the times of the records compress as badly as those of a real run.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import result_files
import torch
from overhead import MLP, empty_trainer
from playwright.sync_api import Browser, sync_playwright

from trackside.handlers import Recorder
from trackside.views.page.report import write_report

A_BATCH = 12  # records: eight transitions, and two for each of the two timed receivers
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class TwoReceivers:
    """A handler that is called twice per batch."""

    def after_loss(self, trainer: Any, state: Any) -> None:
        sum(range(random.randrange(200)))

    def after_step(self, trainer: Any, state: Any) -> None:
        sum(range(random.randrange(200)))


def record(path: Path, records: int) -> None:
    """Record a real fit whose batches take almost no time."""
    trainer = empty_trainer()
    trainer.attach(TwoReceivers())
    trainer.attach(Recorder(path, records=2**20, timing=True))
    trainer.fit(MLP.batches(1) * (records // A_BATCH // 20), epochs=20)


def ready(browser: Browser, address: str) -> float:
    """Seconds from opening the page to its first complete drawing."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    start = time.perf_counter()
    page.goto(address)
    while not page.evaluate("document.body.dataset.ready"):
        time.sleep(0.01)
    taken = time.perf_counter() - start
    page.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the records, for a look")
    parser.add_argument("--write", action="store_true", help="write results/page.json")
    arguments = parser.parse_args()
    records = 100_000 if arguments.quick else 1_000_000
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("this needs chromium")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        recording, page = Path(folder) / "run.loop", Path(folder) / "run.html"
        record(recording, records)
        start = time.perf_counter()
        write_report([recording], page)
        written = time.perf_counter() - start
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        taken = [ready(browser, page.as_uri()) for _ in range(5)]
        browser.close()
        figures = {
            "records": records,
            "megabytes": page.stat().st_size / 1e6,
            "seconds to write": written,
            "seconds until ready": statistics.median(taken),
        }
        print(f"a report of {records} records: {page.stat().st_size / 1e6:.2f} MB")
        print(f"written in {written:.2f} s")
        print(f"ready in {statistics.median(taken):.2f} s, median of 5; most {max(taken):.2f} s")
    if arguments.write:
        result_files.write("page", figures)


if __name__ == "__main__":
    main()
