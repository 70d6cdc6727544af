"""What one rank keeps until its next vote."""

import pytest
from helpers import state_of
from ranks import Ranks, ThreadAgreement

from trackside.engine.ranks.ballot import Ballot
from trackside.engine.ranks.wished_votes import WishedVotes
from trackside.events import CancelBatchException, IllegalCancelError, Transition

TOLD = RuntimeError("why the rank leaves")


@pytest.fixture
def ballot():
    state = state_of(phase="fit.epoch.train.batch.scored")
    return Ballot(ThreadAgreement(Ranks(1), 0), state, WishedVotes((), None))


def test_a_cancel_of_a_rank_that_then_stays_away_is_an_error(ballot):
    ballot.record(CancelBatchException("hard"))
    ballot.stay_away()
    [raised] = ballot.take_recorded(TOLD)
    assert type(raised.error) is IllegalCancelError
    assert "the other ranks wait for this one there" in str(raised.error)
    assert raised.error.__cause__.reason == "hard"


def test_a_rank_that_stays_away_twice_ends_the_exchange_once(ballot, monkeypatch):
    firsts, abort = [], ballot.agreement.abort
    monkeypatch.setattr(ballot.agreement, "abort", lambda: firsts.append(abort()))
    ballot.stay_away()
    ballot.stay_away()
    assert firsts == [True]


def test_a_rank_that_hears_what_it_has_missed_goes_on_with_its_signals(ballot):
    ballot.break_off(RuntimeError("here"), is_collective=False)
    ballot.missed = heard = ballot.take_recorded(TOLD)
    assert ballot.vote() is heard
    assert not ballot.broken_off
    calls, transition = [], Transition("after_loss", "loss", "scored")
    ballot.recording(lambda trainer, state: calls.append(1), transition)(None, ballot.state)
    assert calls == [1]
