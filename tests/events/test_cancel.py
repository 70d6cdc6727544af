import gc

import pytest

from trackside import events
from trackside.events import Cancel, CancelBatchException, TrainState

CANCELS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and kind.__base__ is Cancel and kind.scope
]


def test_each_of_the_seven_scopes_has_one_cancel():
    scopes = {kind.scope for kind in CANCELS}
    assert scopes == {"fit", "epoch", "train", "validate", "batch", "backward", "step"}


@pytest.mark.parametrize("kind", CANCELS)
def test_except_exception_does_not_catch_a_cancel(kind):
    def catch():
        try:
            raise kind("why")
        except Exception:
            return "caught"

    with pytest.raises(kind):
        catch()


def test_a_cancel_carries_its_reason():
    assert events.CancelFitException("enough").reason == "enough"
    assert str(events.CancelFitException("enough")) == "enough"


def test_the_base_class_of_cancels_cannot_be_instantiated():
    with pytest.raises(TypeError, match="Cancel has no scope"):
        Cancel("why")


def test_a_subclass_of_cancel_closes_a_scope_of_your_own():
    class CancelGeneratorException(Cancel):
        scope = "generator"

    assert CancelGeneratorException("why").scope == "generator"


def test_repr_of_the_state_shows_phase_and_counters_only():
    state = TrainState(model=None, phase="fit.ready", n_epochs=3)
    assert repr(state) == "TrainState(fit.ready, epoch=-1/3, batch=-1/None, step=0)"


def test_assigning_an_unknown_field_of_the_state_is_an_error():
    with pytest.raises(AttributeError):
        TrainState(model=None).los = 1


@pytest.mark.parametrize("kind", CANCELS)
def test_cancel_for_returns_the_cancel_of_a_scope_of_a_fit(kind):
    class Newer(kind):
        pass

    assert events.cancel_for(kind.scope) is kind


def test_cancel_for_makes_one_class_for_a_scope_without_one():
    fold = events.cancel_for("outer_fold")
    gc.collect()
    assert fold is events.cancel_for("outer_fold")
    assert fold.__name__ == "CancelOuterFoldException"
    assert fold.scope == "outer_fold"
    assert isinstance(fold("enough"), Cancel)
    assert "outer_fold" not in events.CANCELS


def test_cancel_for_finds_the_newest_subclass_also_an_indirect_one():
    generated = events.cancel_for("shard")

    class Older(Cancel):
        scope = "shard"

    class Other(Cancel):
        scope = "other_shard"

    class Newest(Other):
        scope = "shard"

    assert events.cancel_for("shard") is Newest
    assert generated is not Newest


@pytest.mark.parametrize(
    ("scope", "error"), [("", ValueError), ("folds.fold", ValueError), (3, TypeError)]
)
def test_cancel_for_refuses_what_names_no_scope(scope, error):
    with pytest.raises(error, match=r"cancel_for\(.*allowed: the name of a scope"):
        events.cancel_for(scope)


def test_a_cancel_has_its_attributes_though_its_class_does_not_call_the_one_above():
    class Own(CancelBatchException):
        def __init__(self, loss):
            self.loss = loss

    cancel = Own(0.5)
    attributes = (cancel.reason, cancel.raised_by, cancel.raised_in, cancel.requested_by)
    assert (attributes, cancel.passing, cancel.also) == (("",) * 4, False, [])
    assert Own("why").reason == "why"
    assert Own(1).also is not cancel.also


def test_a_property_of_a_subclass_takes_the_place_of_an_attribute():
    class Own(CancelBatchException):
        passing = property(lambda self: True)

    assert Own().passing is True


def test_the_reason_is_the_first_argument_of_a_class_that_takes_more():
    class Own(CancelBatchException):
        def __init__(self, reason, where):
            self.where = where

    assert Own("why", "here").reason == "why"
