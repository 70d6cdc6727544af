"""What keeps a run from beginning is told to the handlers through which other ranks are told."""

import pytest
from helpers import batches, trainer_of

from trackside.engine import ResumeError


class Refused:
    """Notes the errors for which a run was refused."""

    def __init__(self):
        self.errors = []

    def begin_fit(self, trainer, state):
        """A handler receives a signal."""

    def run_refused(self, trainer, state, error):
        self.errors.append(error)


def test_a_handler_is_told_of_the_error_before_its_run():
    handler = Refused()
    with pytest.raises(ResumeError) as caught:
        trainer_of(handler).fit(batches(2), resume={})
    assert handler.errors == [caught.value]


def test_a_run_that_begins_tells_nobody_that_it_was_refused():
    handler = Refused()
    trainer = trainer_of(handler)

    @trainer.on("after_loss")
    def fail(trainer, state):
        raise ValueError("in the run")

    with pytest.raises(ValueError, match="in the run"):
        trainer.fit(batches(2))
    assert handler.errors == []
