import dis
import threading

import pytest
from helpers import CANCELS, LEGAL, Trace, batches, raise_at, scopes, trainer_of
from hypothesis import given, settings
from hypothesis import strategies as st

from trackside.engine.loop.run_loop import RunLoop
from trackside.events import (
    Cancel,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelTrainException,
    CancelValidException,
    IllegalCancelError,
)


def elsewhere(function, *arguments):
    """Call a function in another thread, and wait for it."""
    thread = threading.Thread(target=function, args=arguments, name="elsewhere")
    thread.start()
    thread.join()


def request_at(trainer, signal, *cancels, when=lambda state: True):
    """Request the cancels from another thread, the first time that `signal` is sent."""

    def requester(trainer, state):
        if when(state):
            trainer.detach(requester)
            for cancel in cancels:
                elsewhere(trainer.request, cancel)

    trainer.on(signal)(requester)
    return cancels[0]


def fit_signals(*requests):
    """The signals of a fit with these requests: two epochs of two batches and one to validate."""
    trace = Trace()
    trainer = trainer_of(trace)
    for signal, *cancels in requests:
        request_at(trainer, signal, *cancels)
    trainer.fit(batches(2), batches(1), epochs=2)
    return trace.signals


def after(signals, signal, count):
    first = signals.index(signal) + 1
    return signals[first : first + count]


# when a request takes effect


@pytest.mark.parametrize(("signal", "scope"), LEGAL)
def test_a_request_closes_the_same_scopes_as_a_cancel_raised_at_that_signal(signal, scope):
    inner = signal.removeprefix("after_cancel_") if signal.startswith("after_cancel_") else ""
    traces = []
    for request in (True, False):
        trace = Trace()
        trainer = trainer_of(trace)
        if inner:
            raise_at(trainer, f"begin_{inner}", CANCELS[inner], within=scope)
        if request:
            cancel = CANCELS[scope](f"at {signal}")
            request_at(trainer, signal, cancel, when=lambda state: scope in scopes(state.phase))
        else:
            raise_at(trainer, signal, CANCELS[scope])
        trainer.fit(batches(2), batches(2), epochs=2)
        traces.append(trace.signals)
    assert traces[0] == traces[1]
    assert cancel.raised_by == "a request of thread elsewhere"


@pytest.mark.parametrize("signal", ["begin_batch", "after_pred", "after_loss"])
def test_a_request_takes_effect_before_the_next_activity(signal):
    signals = fit_signals((signal, CancelBatchException()))
    assert after(signals, signal, 2) == ["after_cancel_batch", "after_batch"]


@pytest.mark.parametrize("passes", [["train"], ["train", "validate"]], ids=lambda p: p[-1])
def test_a_request_during_a_fetch_takes_effect_after_the_fetch(passes):
    trace = Trace()
    trainer = trainer_of(trace)

    def slow():
        elsewhere(trainer.request, CancelFitException("too slow"))
        yield from batches(2)

    loaders = [slow(), None] if passes == ["train"] else [batches(1), slow()]
    state = trainer.fit(*loaders)
    name = passes[-1]
    start = len(signals_before(trace.signals, f"begin_{name}"))
    assert trace.signals[start:] == [
        *(f"begin_{name}", "begin_batch", "after_batch", f"after_{name}", "after_epoch"),
        *("after_cancel_fit", "after_fit"),
    ]
    assert (state.outcome, state.cancel.reason) == ("cancelled", "too slow")


def signals_before(signals, signal):
    return signals[: signals.index(signal)]


def test_a_request_takes_effect_in_validate():
    trainer = trainer_of()
    request_at(trainer, "after_pred", CancelValidException("enough"))
    trainer.validate(batches(2))
    assert (trainer.state.outcome, trainer.state.cancel.reason) == ("cancelled", "enough")


def test_a_request_records_its_thread_and_where_it_took_effect():
    cancel = CancelEpochException("by hand")
    fit_signals(("after_pred", cancel))
    assert cancel.requested_by == "thread elsewhere"
    assert cancel.raised_by == "a request of thread elsewhere"
    assert cancel.raised_in == "fit.epoch.train.batch.loss"


def test_the_loop_reads_one_attribute_for_requests():
    read = [i for i in dis.get_instructions(RunLoop.transitions) if i.argval == "pending"]
    assert {i.opname for i in read} == {"LOAD_ATTR"}
    assert "pending" not in [i.argval for i in dis.get_instructions(RunLoop._unwind)]


# several requests


def test_the_outermost_of_several_requests_wins_and_all_reasons_are_kept():
    cancels = [CancelBatchException("a"), CancelEpochException("b"), CancelTrainException("c")]
    signals = fit_signals(("after_loss", *cancels))
    assert after(signals, "after_loss", 4) == [
        *("after_batch", "after_train", "after_cancel_epoch", "after_epoch"),
    ]
    assert [cancel.reason for cancel in cancels[1].also] == ["a", "c"]


def test_the_first_of_two_requests_for_one_scope_wins():
    first, second = CancelBatchException("first"), CancelBatchException("second")
    signals = fit_signals(("after_loss", first, second))
    assert (first.also, signals.count("after_cancel_batch")) == ([second], 1)


def test_a_request_for_a_scope_inside_of_the_one_that_closes_is_met_with_it():
    batch, train = CancelBatchException("not begun yet"), CancelTrainException("enough")
    signals = fit_signals(("begin_train", batch, train))
    assert train.also == [batch]
    assert signals.count("after_cancel_train") == 1
    assert "after_cancel_batch" not in signals


def test_a_request_beats_a_cancel_of_an_inner_scope_raised_by_a_handler():
    trainer = trainer_of()
    inner = raise_at(trainer, "after_loss", CancelBatchException)
    cancel = request_at(trainer, "after_cancel_batch", CancelFitException("outer"))
    state = trainer.fit(batches(2), epochs=2)
    assert inner not in trainer.handlers
    assert state.cancel is cancel
    assert state.outcome == "cancelled"


def test_an_error_beats_a_request():
    trainer = trainer_of()
    request_at(trainer, "after_pred", CancelFitException())

    @trainer.on("after_batch")
    def fail(trainer, state):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trainer.fit(batches(2))
    assert trainer.state.outcome == "failed"


# scopes that are not open


def test_batch_cancel_requested_between_batches_closes_the_next_batch():
    signals = fit_signals(("begin_train", CancelBatchException()))
    assert after(signals, "begin_train", 3) == ["begin_batch", "after_cancel_batch", "after_batch"]
    assert signals.count("after_cancel_batch") == 1


def test_validate_cancel_requested_during_training_closes_this_epochs_validation():
    signals = fit_signals(("after_loss", CancelValidException()))
    assert after(signals, "begin_validate", 2) == ["after_cancel_validate", "after_validate"]
    assert signals.count("after_cancel_validate") == 1


def test_train_cancel_requested_during_validation_expires_with_the_epoch():
    cancel = CancelTrainException()
    signals = fit_signals(("begin_validate", cancel))
    assert "after_cancel_train" not in signals
    assert cancel.raised_in == ""


def test_epoch_cancel_requested_between_epochs_closes_the_next_epoch():
    signals = fit_signals(("after_epoch", CancelEpochException()))
    assert signals[-4:] == ["begin_epoch", "after_cancel_epoch", "after_epoch", "after_fit"]


def test_a_batch_cancel_expires_if_its_batch_has_closed():
    trainer = trainer_of()
    cancel = CancelBatchException()

    def zero_grad(inner):
        def call(state):  # the last activity of a batch: the next transition is after_batch
            if state.batch_index == 0:
                elsewhere(trainer.request, cancel)
            return inner(state)

        return call

    trainer.wrap("zero_grad", zero_grad)
    state = trainer.fit(batches(2))
    assert (state.step, cancel.raised_in) == (2, "")


def test_a_pending_request_is_dropped_when_the_run_ends():
    trainer = trainer_of()
    request_at(trainer, "begin_fit", CancelValidException())
    trainer.fit(batches(1))
    cancelled = []
    trainer.on("after_cancel_validate")(lambda trainer, state: cancelled.append(state.epoch))
    trainer.fit(batches(1), batches(1))
    assert cancelled == []


def test_a_request_before_begin_fit_waits_for_begin_fit():
    trainer = trainer_of()
    cancel = CancelFitException("before it began")
    request = [cancel]

    def request_once(state):
        if request:
            trainer.request(request.pop())
        return True

    trainer.machine.events["begin_fit"].transitions["idle"][0].prepare.append(request_once)
    trainer.fit(batches(1))
    assert (trainer.state.outcome, cancel.raised_in) == ("cancelled", "fit.ready")


# refused requests


@pytest.mark.parametrize("state", ["never ran", "completed"])
def test_a_request_without_a_run_is_refused(state):
    trainer = trainer_of()
    if state == "completed":
        trainer.fit(batches(1))
    with pytest.raises(IllegalCancelError, match=r"cannot cancel the fit: nothing is running"):
        trainer.request(CancelFitException())


class CancelEpisode(Cancel):
    """For another chart."""

    scope = "episode"


def test_a_request_for_an_unknown_scope_is_refused_and_the_scopes_are_listed():
    trainer = trainer_of()
    for transition in trainer.steps(batches(1)):
        if transition.trigger == "begin_fit":
            with pytest.raises(ValueError, match=r"'episode'.*only the scopes fit, epoch, train"):
                trainer.request(
                    type("CancelEpisode", (CancelFitException,), {"scope": "episode"})()
                )
    assert trainer.state.outcome == "completed"


def test_a_request_that_is_not_a_cancel_is_refused():
    with pytest.raises(TypeError, match=r"cannot request a str; allowed: a cancel"):
        trainer_of().request("fit")


# any request at any time


@given(
    st.lists(
        st.tuples(st.integers(0, 70), st.lists(st.sampled_from(sorted(CANCELS)), min_size=1)),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=100)
def test_every_scope_is_closed_once_whatever_is_requested_at_any_transition(plan):
    trace = Trace()
    trainer = trainer_of(trace)
    plan = dict(plan)
    for count, _ in enumerate(trainer.steps(batches(2), batches(2), epochs=2)):
        for scope in plan.get(count, ()) if trainer.state.phase.startswith("fit.") else ():
            trainer.request(CANCELS[scope]())
    opened = []
    for signal in trace.signals:
        moment, _, scope = signal.rpartition("_")
        if moment == "begin":
            opened.append(scope)
        elif moment == "after" and scope in CANCELS:
            assert opened.pop() == scope
    assert opened == []
    assert trainer.state.phase in ("completed", "cancelled")
    assert trainer.fit(batches(1)).outcome == "completed"
