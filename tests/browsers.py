"""Chromium, driven by Playwright, and checks that a page causes no errors or foreign requests."""

import os
import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REQUIRED = "TRACKSIDE_BROWSER_TESTS"
"""Environment variable: `required` if a missing browser must fail the tests."""
PATIENCE = 300_000
"""Timeout in milliseconds, for operations that take a few hundred."""
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
    """A browser. Without Chromium the test is skipped, or fails if `REQUIRED` is set."""
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
    """A loaded page. On exit, check for errors, policy violations and requests to other hosts."""
    options = {"viewport": {"width": 1440, "height": 900}, **options}
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    errors = []
    page.add_init_script(VIOLATIONS)
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    own = address.split("/?")[0]
    page.on("request", lambda sent: None if is_own(sent.url, own) else errors.append(sent.url))
    page.goto(address)
    yield page
    assert [*errors, *page.evaluate("violations")] == []
    context.close()


def is_own(url, own):
    return url.startswith((own, "data:", "blob:"))


def is_ready(page):
    return page.evaluate("document.body.dataset.ready === 'true'")
