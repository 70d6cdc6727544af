import pytest
from helpers import batches, trainer_of
from hypothesis import given, settings
from hypothesis import strategies as st

from trackside import CancelBatchException
from trackside.events import AttachError

SIGNALS = [name for name in trainer_of().signals if not name.startswith("after_cancel")]


def steps_of(trainer):
    return trainer.steps(batches(), batches(1), epochs=2)


PLAIN = list(steps_of(trainer_of()))


@settings(max_examples=25, deadline=None)
@given(st.sets(st.sampled_from(SIGNALS), max_size=4))
def test_a_run_with_stops_makes_the_same_transitions_and_stops_before_each(names):
    trainer = trainer_of()
    for name in names:
        trainer.stop_before(name)
    made, kept = [], []
    for transition in steps_of(trainer):
        made.append(transition.trigger)
        if not transition.trigger.startswith("before_"):
            kept.append(transition)
    assert kept == PLAIN
    expected = []
    for transition in PLAIN:
        expected += [f"before_{transition.trigger}"] * (transition.trigger in names)
        expected.append(transition.trigger)
    assert made == expected


def test_at_a_stop_the_activity_has_run_and_no_receiver():
    trainer = trainer_of()
    called = []
    trainer.on("after_loss")(lambda trainer, state: called.append(state.step))
    trainer.stop_before("after_loss")
    for transition in steps_of(trainer):
        if transition.trigger == "before_after_loss":
            assert trainer.state.loss is not None
            assert trainer.state.phase == transition.source == transition.destination
            assert trainer.state.phase.endswith("loss")
            break
    assert called == []


def test_a_stop_that_is_undone_is_not_made_again():
    trainer = trainer_of()
    run = steps_of(trainer)
    assert next(run).trigger == "begin_fit"
    undo = trainer.stop_before("begin_batch")
    assert [next(run).trigger for _ in range(3)][-1] == "before_begin_batch"
    undo()
    assert [t.trigger for t in run].count("before_begin_batch") == 0
    assert [t.trigger for t in steps_of(trainer)] == [t.trigger for t in PLAIN]


def test_a_cancel_that_is_requested_at_a_stop_closes_the_batch():
    trainer = trainer_of()
    trainer.stop_before("after_pred")
    run = steps_of(trainer)
    next(t for t in run if t.trigger == "before_after_pred")
    trainer.request(CancelBatchException("enough"))
    assert [next(run).trigger for _ in range(2)] == ["after_cancel_batch", "after_batch"]


def test_what_no_activity_leads_to_is_refused():
    with pytest.raises(AttachError, match="did you mean after_loss"):
        trainer_of().stop_before("after_los")
    with pytest.raises(AttachError, match="no activity leads to it"):
        trainer_of().stop_before("any_transition")


def test_two_stops_before_one_signal_are_undone_one_by_one():
    trainer = trainer_of()
    undo, other = trainer.stop_before("after_loss"), trainer.stop_before("after_loss")
    undo()
    undo()
    assert "before_after_loss" in [t.trigger for t in steps_of(trainer)]
    other()
    assert "before_after_loss" not in [t.trigger for t in steps_of(trainer)]
