import pytest
from browsers import chromium


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched
