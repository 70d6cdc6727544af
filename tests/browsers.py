"""Chromium, driven by Playwright, and what a page did that it must not do."""

import os
import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = "TRACKSIDE_BROWSER_TESTS"
PATIENCE = 300_000
"""Milliseconds, for what takes a few hundred."""
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

VIOLATIONS = """
globalThis.violations = [];
document.addEventListener("securitypolicyviolation",
    (event) => violations.push(`${event.effectiveDirective}: ${event.blockedURI}`));
"""


@contextmanager
def chromium():
    """A browser. Without one the test is skipped, or fails where it is `REQUIRED`."""
    if CHROMIUM is None:
        if os.environ.get(REQUIRED) == "required":
            pytest.fail("there is no chromium, and the browser tests must not be skipped here")
        pytest.skip("no chromium on this machine: the browser tests are skipped")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE)
        yield browser
        browser.close()


@contextmanager
def opened(browser, address, **options):
    """A page that has been drawn; afterwards it has made no error and asked nobody else."""
    options = {"viewport": {"width": 1440, "height": 900}, **options}
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    wrong = []
    page.add_init_script(VIOLATIONS)
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    own = address.split("/?")[0]
    page.on("request", lambda asked: None if allowed(asked.url, own) else wrong.append(asked.url))
    page.goto(address)
    yield page
    assert [*wrong, *page.evaluate("violations")] == []
    context.close()


def allowed(url, own):
    return url.startswith((own, "data:", "blob:"))


def is_ready(page):
    return page.evaluate("document.body.dataset.ready === 'true'")
