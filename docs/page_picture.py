"""Take `docs/watch.png`, the picture of the live page while a fit runs: `make picture`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
TRACKSIDE = [sys.executable, "-u", "-m", "trackside"]
SIZE = {"width": 1440, "height": 900}


def begin(stack: ExitStack, *arguments: str) -> subprocess.Popen[str]:
    """Run a command of this checkout until the stack is closed."""
    process = stack.enter_context(
        subprocess.Popen(
            [*TRACKSIDE, *arguments],
            cwd=HERE.parent,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    stack.callback(process.terminate)
    return process


def take(picture: Path, seconds: float) -> None:
    """Record a fit, open its page, and take the picture after so many seconds."""
    with ExitStack() as stack:
        runs = stack.enter_context(tempfile.TemporaryDirectory())
        record = f"{runs}/digits.loop"
        fit = begin(stack, "fit", "examples/digits.py:digits", "--epochs=4000", "--record", record)
        assert fit.stdout is not None
        fit.stdout.readline()  # its arguments: the recording is about to begin
        served = begin(stack, "watch", runs).stdout
        assert served is not None
        address = served.readline().split()[-1]
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser")
        )
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.goto(address)
        page.wait_for_selector("[data-phase]")  # the loop of the fit is drawn
        page.wait_for_timeout(seconds * 1000)
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, default=HERE / "watch.png")
    parser.add_argument("--seconds", type=float, default=20, help="for some epochs to be shown")
    given = parser.parse_args()
    take(given.picture, given.seconds)
