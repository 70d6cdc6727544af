import pytest
from forked import forked_workers


@pytest.fixture(autouse=True)
def quick_workers():
    """The processes of `verify_resume` need not import torch."""
    with forked_workers():
        yield
