import pytest
from helpers import state_of

from trackside.engine.ranks.peer_records import as_record, merged, of_peer, recorded, too_late
from trackside.events import (
    CancelEpochException,
    IllegalCancelError,
    PeerError,
    RetryBatchException,
    RollbackException,
)

PHASE = "fit.epoch.train.batch.forward"


class OwnCancel(CancelEpochException):
    """Has an `__init__` of its own, which a peer cannot call."""

    def __init__(self, reason, metric):
        super().__init__(reason)
        self.metric = metric


def look(trainer, state):
    """A receiver."""


def at(phase):
    state = state_of()
    state.phase, state.epoch, state.batch_index = phase, 3, 7
    return state


def sent(error, receiver=look):
    """What another rank makes of what rank 1 has raised."""
    return of_peer(as_record(recorded(error, receiver, at(PHASE), 1)), 1).error


def test_a_cancel_of_another_rank_is_raised_as_an_equal_one():
    cancel = sent(OwnCancel("enough", 0.5))
    assert (type(cancel), cancel.reason, cancel.scope) == (OwnCancel, "enough", "epoch")
    assert (cancel.raised_by, cancel.raised_in) == ("rank 1: handler look", PHASE)


def test_a_cancel_keeps_its_signature_when_it_is_raised_again():
    cancel = sent(CancelEpochException("enough"))
    again = recorded(cancel, None, at("fit.ready"), 0).error
    assert (again.raised_by, again.raised_in) == ("rank 1: handler look", PHASE)


def test_a_class_that_this_process_does_not_have_is_the_one_of_its_scope():
    record = {**as_record(recorded(OwnCancel("a", 1), None, at(PHASE), 1)), "kind": "Elsewhere"}
    assert type(of_peer(record, 1).error) is CancelEpochException


@pytest.mark.parametrize(
    ("recovery", "carried"),
    [
        (RetryBatchException("split it", split=2, budget=3), {"split": 2, "budget": 3}),
        (
            RollbackException("spike", to=8, skip=2),
            {"to": 8, "skip": 2, "budget": 10, "at": [3, 7]},
        ),
    ],
)
def test_a_recovery_carries_its_arguments(recovery, carried):
    found = sent(recovery)
    assert (type(found), found.carried()) == (type(recovery), carried)


def test_an_error_of_another_rank_tells_where_it_was_raised_with_its_traceback():
    try:
        raise ValueError("too long\nsecond line")
    except ValueError as error:
        found = sent(error, None)
    assert type(found) is PeerError
    assert (found.rank, found.raised_by, found.raised_in) == (1, f"activity {PHASE}", PHASE)
    assert found.traceback.startswith("Traceback")
    head = f"rank 1: ValueError: too long, raised by activity {PHASE} in {PHASE}; its traceback:\n"
    assert str(found) == head + found.traceback


def test_what_all_ranks_have_raised_is_in_the_order_of_ranks():
    own = [recorded(CancelEpochException("own"), look, at(PHASE), 1)]
    told = [as_record(recorded(ValueError("theirs"), look, at(PHASE), rank)) for rank in (0, 2)]
    raised = [one.error for one in merged(own, [[told[0]], [{}], [told[1]]], 1, ["my traceback"])]
    assert [type(error) for error in raised] == [PeerError, CancelEpochException, PeerError]
    assert [error.rank for error in raised if isinstance(error, PeerError)] == [0, 2]
    assert raised[0].__notes__ == ["trackside: this rank failed as a result\nmy traceback"]
    assert not hasattr(raised[2], "__notes__")


def test_what_says_that_another_rank_has_failed_comes_after_that_failure():
    error = PeerError("rank 1 has not written its part", 1)
    for rank, own, told in (
        (1, ValueError("no space left"), [[as_record(recorded(error, look, at(PHASE), 0))], [{}]]),
        (0, error, [[{}], [as_record(recorded(ValueError("no space"), look, at(PHASE), 1))]]),
    ):
        raised = merged([recorded(own, look, at(PHASE), rank)], told, rank, [])
        assert "no space" in str(raised[0].error)
        assert "has not written its part" in str(raised[1].error)


def test_what_followed_from_no_error_of_another_rank_is_left_out():
    own = [recorded(CancelEpochException("own"), look, at(PHASE), 0)]
    (one,) = merged(own, [[{}]], 0, ["my traceback"])
    assert one is own[0]
    assert not hasattr(one.error, "__notes__")


def test_a_cancel_inside_a_collective_activity_is_an_error_that_shows_it():
    cancel = CancelEpochException("enough")
    error = too_late(cancel, PHASE)
    assert (type(error), error.__cause__) == (IllegalCancelError, cancel)
    assert f"CancelEpochException('enough') raised inside the activity of {PHASE}" in str(error)
