"""A run of one rank is left with an error, before or after its loop was made."""

import threading

import pytest
from helpers import trainer_of
from ranks import NobodyComesError, Ranks, ThreadAgreement

from trackside.engine.ranks.agreeing_loop import AgreedRun


def left_with_an_error(ranks, has_begun):
    trainer = trainer_of()
    run = AgreedRun(trainer, trainer.state, ThreadAgreement(ranks, 0), trainer.topology.chart)
    run.has_begun = has_begun
    with pytest.raises(ValueError, match="left"), run:
        raise ValueError("left")
    return run


def test_a_rank_that_fails_before_its_loop_was_made_leaves_the_votes():
    ranks = Ranks(2)
    assert left_with_an_error(ranks, has_begun=False).ballot.lost
    with pytest.raises(NobodyComesError):
        ranks.control.exchange(1, "here")


def test_of_a_loop_that_was_made_the_loop_says_when_it_leaves():
    ranks = Ranks(2)
    assert left_with_an_error(ranks, has_begun=True).ballot.lost
    other = threading.Thread(target=ranks.control.exchange, args=(0, "here, too"))
    other.start()
    assert ranks.control.exchange(1, "here") == ["here, too", "here"]
    other.join()
