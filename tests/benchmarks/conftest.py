import pytest

from trackside import Trainer


@pytest.fixture(autouse=True)
def shown_as_before(monkeypatch):
    """Importing a benchmark hides the bar in the whole process: show it again to the next test."""
    monkeypatch.setattr(Trainer, "verbose", Trainer.verbose)
