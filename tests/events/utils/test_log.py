import logging

import pytest
from helpers import batches, trainer_of

from trackside.events.utils.log import log_exception


class FullDisk(logging.Handler):
    """A log handler of a host that raises, as pytest's and Sentry's may."""

    def handle(self, record):
        raise OSError("no space left for the log")


@pytest.fixture
def full_disk():
    handler = FullDisk()
    logging.getLogger("trackside").addHandler(handler)
    yield
    logging.getLogger("trackside").removeHandler(handler)


class Failing:
    on_error = "detach"

    def after_step(self, trainer, state):
        raise ValueError("the tracker is gone")


def test_a_handler_is_detached_if_even_its_error_cannot_be_logged(full_disk, capsys):
    trainer = trainer_of(Failing())
    assert trainer.fit(batches()).outcome == "completed"
    assert trainer.handlers == []
    told = capsys.readouterr().err
    assert "the tracker is gone" in told
    assert "no space left for the log" in told


def test_nothing_is_written_if_logging_is_told_to_be_silent(full_disk, capsys, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log_exception("something failed")
    assert capsys.readouterr() == ("", "")
