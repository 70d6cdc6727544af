"""A run inside a run: an activity or a handler of one trainer calls `fit` of another."""

import pytest
from helpers import Trace, batches, trainer_of

from trackside import CancelEpochException, CancelFitException
from trackside.engine import SUPERVISED
from trackside.events import Cancel, IllegalCancelError, cancel_for

FOLDS = SUPERVISED.cut("validate").inside("folds.fold")


def inner_of(signal, raised, *handlers):
    """A trainer that raises a cancel the first time that it sends a signal."""
    inner = trainer_of(*handlers)

    @inner.on(signal, once=True)
    def cancel(trainer, state):
        raise raised

    return inner


def outer_of(inner, trace, folds=2):
    """A trainer of folds; in each of them it fits another trainer."""
    begun = []

    def next_fold(state):
        begun.append(len(begun))
        return "begin_fold" if len(begun) <= folds else "after_folds"

    def fit_inner(state):
        inner.fit(batches(2), batches(1))
        return "after_fold"

    activities = {
        "folds.ready": next_fold,
        "fold.ready": fit_inner,
        "fold.done": lambda state: "after_fold",
    }
    return trainer_of(trace, chart=FOLDS, activities=activities)


@pytest.mark.parametrize("signal", ["begin_fit", "after_loss", "begin_validate", "after_step"])
def test_a_cancel_unknown_to_the_inner_run_closes_its_scope_in_the_outer_run(signal):
    cancel = cancel_for("fold")("not this one")
    ours, theirs = Trace(), Trace()
    inner = inner_of(signal, cancel, ours)
    inner.on("after_fit")(lambda trainer, state: outcomes.append((state.outcome, state.cancel)))
    outcomes = []
    state = outer_of(inner, theirs).fit(batches(1))
    assert outcomes == [("cancelled", cancel), ("completed", None)]
    assert ours.signals.count("after_cancel_fit") == 1
    assert ours.signals.count("begin_fit") == ours.signals.count("after_fit") == 2
    assert theirs.signals == [
        *("begin_folds", "begin_fold", "after_cancel_fold", "after_fold"),
        *("begin_fold", "after_fold", "after_folds"),
    ]
    assert state.outcome == "completed"
    assert (inner.state.phase, inner.state.outcome) == ("completed", "completed")


def test_a_cancel_that_passed_says_who_raised_it_in_the_inner_run():
    cancel = cancel_for("fold")("not this one")
    seen = []
    outer = outer_of(inner_of("after_loss", cancel), Trace())
    outer.on("after_cancel_fold")(
        lambda t, state: seen.append((state.cancel, state.cancel.raised_by, state.cancel.raised_in))
    )
    outer.fit(batches(1))
    ((found, by, phase),) = seen
    assert found is cancel
    assert by == "handler cancel"
    assert phase == "fit.epoch.train.batch.scored"
    assert not cancel.passing


def test_a_cancel_passes_through_two_runs():
    cancel = cancel_for("fold")("not this one")
    inner = inner_of("after_loss", cancel)
    middle, trace = trainer_of(), Trace()
    middle.on("begin_batch", once=True)(lambda trainer, state: inner.fit(batches(1)))
    outer_of(middle, trace).fit(batches(1))
    assert inner.state.outcome == "cancelled"
    assert trace.signals.count("after_cancel_fold") == 1


def test_a_cancel_raised_in_a_stepped_inner_run_passes():
    inner = inner_of("after_loss", cancel_for("fold")("not this one"))
    inner.fit = lambda *loaders: [*inner.steps(*loaders)]
    trace = Trace()
    assert outer_of(inner, trace).fit(batches(1)).outcome == "completed"
    assert trace.signals.count("after_cancel_fold") == 1


def test_a_cancel_raised_as_the_inner_run_closes_passes():
    trace = Trace()
    inner = inner_of("after_fit", cancel_for("fold")("not this one"))
    outer_of(inner, trace).fit(batches(1))
    assert trace.signals.count("after_cancel_fold") == 1


def test_a_cancel_of_a_scope_that_both_have_closes_that_of_the_inner_run():
    trace = Trace()
    inner = inner_of("after_loss", CancelFitException("enough"))
    outer_of(inner, trace).fit(batches(1))
    assert "after_cancel_fold" not in trace.signals


@pytest.mark.parametrize("order", ["own first", "outer first"])
def test_a_cancel_that_passes_outranks_one_of_the_inner_run(order):
    own, outer = CancelFitException("own"), cancel_for("fold")("outer")
    first, second = (own, outer) if order == "own first" else (outer, own)
    ours, theirs = Trace(), Trace()
    inner = inner_of("after_loss", first, ours)

    @inner.on("after_batch", once=True)
    def cancel(trainer, state):
        raise second

    outer_of(inner, theirs).fit(batches(1))
    assert theirs.signals.count("after_cancel_fold") == 1
    assert ours.signals.count("after_cancel_fit") == 1
    assert outer.also == [own]


def test_an_own_cancel_that_is_announced_already_is_outranked_too():
    own, outer = CancelFitException("own"), cancel_for("fold")("outer")
    ours, theirs = Trace(), Trace()
    inner = inner_of("after_loss", own, ours)

    @inner.on("after_cancel_fit")
    def cancel(trainer, state):
        raise outer

    outer_of(inner, theirs, folds=1).fit(batches(1))
    assert ours.signals.count("after_cancel_fit") == 1
    assert theirs.signals.count("after_cancel_fold") == 1


def test_of_two_cancels_that_pass_the_outer_scope_wins():
    fold, folds = cancel_for("fold")("one"), cancel_for("folds")("all")
    inner, trace = inner_of("after_loss", fold), Trace()

    @inner.on("after_batch", once=True)
    def cancel(trainer, state):
        raise folds

    state = outer_of(inner, trace).fit(batches(1))
    assert (state.outcome, state.cancel) == ("cancelled", folds)
    assert folds.also == [fold]


def test_an_error_beats_a_cancel_that_passes():
    inner = inner_of("after_loss", cancel_for("fold")("not this one"))

    @inner.on("after_batch", once=True)
    def fail(trainer, state):
        raise ZeroDivisionError

    outer = outer_of(inner, Trace())
    with pytest.raises(ZeroDivisionError):
        outer.fit(batches(1))
    assert outer.state.phase == inner.state.phase == "failed"


def test_a_cancel_that_neither_run_knows_is_an_error_naming_both():
    inner = inner_of("after_loss", cancel_for("trial")("which?"))
    outer = outer_of(inner, Trace())
    with pytest.raises(
        IllegalCancelError,
        match=r"no trial is open; open here: batch, train, epoch, fit; "
        r"in the run around this one: fold, folds",
    ):
        outer.fit(batches(1))


def test_a_cancel_of_an_inner_scope_that_is_not_open_stays_an_error():
    inner = inner_of("begin_fit", CancelEpochException("too early"))
    with pytest.raises(IllegalCancelError, match="no epoch is open"):
        outer_of(inner, Trace()).fit(batches(1))


def test_a_run_that_is_suspended_beside_another_is_not_around_it():
    outer = outer_of(trainer_of(), Trace())
    run = outer.steps(batches(1))
    next(run), next(run)
    assert outer.state.phase == "folds.fold.ready"
    inner = inner_of("after_loss", cancel_for("fold")("which?"))
    with pytest.raises(IllegalCancelError, match="open here: batch, train, epoch, fit\n"):
        inner.fit(batches(1))
    run.close()


def test_an_interrupted_inner_run_leaves_a_cancel_that_can_be_raised_again():
    cancel = cancel_for("fold")("twice")
    trace = Trace()
    inner = trainer_of()

    @inner.on("begin_batch")
    def raise_it(trainer, state):
        raise cancel

    outer_of(inner, trace, folds=3).fit(batches(1))
    assert trace.signals.count("after_cancel_fold") == 3
    assert isinstance(cancel, Cancel)
    assert cancel.also == []
