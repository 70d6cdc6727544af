import pytest
from browsers import chromium, is_ready, opened
from watched import wait_until


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def shared_page(browser, report):
    """The page of the `report` of a module: its path, and that of the recording."""
    with opened(browser, report[0].as_uri()) as page:
        wait_until(lambda: is_ready(page))
        yield page
