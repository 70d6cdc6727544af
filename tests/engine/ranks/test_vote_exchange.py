from collections import deque

import pytest

from trackside.engine.ranks.vote_exchange import VoteExchange, in_one_phase
from trackside.events import PeerError

ALIKE = (0, 3, -3, 0, 0)
"""The answer if nobody has raised, and all are in one phase."""


class Votes:
    """The other ranks: what they answer to each ballot."""

    def __init__(self, *answers):
        self.answers = deque(answers)
        self.ballots, self.watched = [], []
        self.vote_watchers = [self.watched.append]

    def cast(self, ballot):
        self.ballots.append(ballot)

    def result(self):
        answer = self.answers.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return answer


def test_a_result_is_waited_for_while_watchers_know_it():
    votes = Votes(ALIKE)
    exchange = VoteExchange(votes)
    exchange.send(ALIKE)
    assert exchange.is_open
    assert exchange.result() == ALIKE
    assert (votes.ballots, votes.watched) == ([ALIKE], [True, False])
    assert not exchange.is_open


def test_watchers_know_the_end_of_a_wait_that_failed():
    votes = Votes(PeerError("lost"))
    exchange = VoteExchange(votes)
    exchange.send(ALIKE)
    with pytest.raises(PeerError):
        exchange.result()
    assert votes.watched == [True, False]


@pytest.mark.parametrize(
    ("answer", "wanted"), [(ALIKE, True), ((1, 3, -3, 0, 0), False), ((0, 3, -2, 0, 0), False)]
)
def test_gradients_are_wanted_where_nobody_raised_in_one_phase(answer, wanted):
    votes = Votes(answer)
    exchange = VoteExchange(votes)
    exchange.send(ALIKE)
    assert votes.may_reduce() is votes.may_reduce() is wanted
    assert exchange.result() == answer
    assert votes.watched == [True, False]


def test_without_an_open_vote_gradients_are_wanted():
    votes = Votes(ALIKE)
    exchange = VoteExchange(votes)
    assert votes.may_reduce() is True
    exchange.send(ALIKE)
    exchange.result()
    assert votes.may_reduce() is True


def test_what_a_backward_pass_has_met_is_raised_where_the_result_is_taken():
    votes = Votes(PeerError("lost"), ALIKE)
    exchange = VoteExchange(votes)
    exchange.send(ALIKE)
    assert votes.may_reduce() is votes.may_reduce() is False
    with pytest.raises(PeerError, match="lost"):
        exchange.result()
    exchange.send(ALIKE)
    assert exchange.result() == ALIKE


def test_ranks_are_in_one_phase_if_highest_and_lowest_are_the_same():
    assert in_one_phase(ALIKE)
    assert not in_one_phase((0, 3, -2, 0, 0))
