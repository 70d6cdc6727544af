"""Every plan of raised cancels and errors has the same result as nested try/except/finally."""

import functools
import gc
import logging
import weakref
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import ACTIVITIES, EPOCHS, SCOPES, SIGNALS, TRAINING, Raise, Rig, assert_nested, by_hand

from trackside.engine import Trainer
from trackside.events import (
    CancelBackwardException,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    CancelValidException,
    IllegalCancelError,
    any_transition,
)


class RefusingError(Exception):
    """Takes no notes, and cannot be compared."""

    __hash__ = None

    def add_note(self, note):
        raise OSError("no notes")

    def __eq__(self, other):
        raise OSError("no equality")


class UncalledCancel(CancelEpochException):
    """Its `__init__` does not call that of its base."""

    def __init__(self, reason):
        pass


KINDS = (
    CancelFitException,
    CancelEpochException,
    CancelTrainException,
    CancelValidException,
    CancelBatchException,
    CancelBackwardException,
    CancelStepException,
    ValueError,
    KeyboardInterrupt,
    SystemExit,
    RefusingError,
    UncalledCancel,
)
BATCH = "fit.epoch.train.batch"


def trainer_of(world):
    return Trainer(world.model, world.loss_fn, world.optimizer)


@pytest.fixture
def rig():
    return Rig(trainer_of)


undisturbed = functools.cache(by_hand)
used_rig = functools.cache(lambda: Rig(trainer_of))


def seen(trainer, signal, read):
    values = []
    trainer.on(signal)(lambda trainer, state: values.append(read(state)))
    return values


def raising(error):
    def fail(trainer, state):
        raise error

    return fail


# plans


points = st.sampled_from((*SIGNALS, *ACTIVITIES))
raises = st.builds(Raise, st.sampled_from(KINDS), points, st.integers(1, 4))
anywhere = st.lists(raises, min_size=1, max_size=4).map(tuple)


@st.composite
def chains(draw):
    """Plans in which each exception is raised soon after the previous one, and surely is raised."""
    entries, position = (), -1
    for reach in (len(undisturbed().log), *draw(st.lists(st.sampled_from((2, 6, 30)), max_size=3))):
        log = undisturbed(entries).log
        if position + 1 == len(log):
            break
        position = draw(st.integers(position + 1, min(position + reach, len(log) - 1)))
        n = log[: position + 1].count(log[position])
        entries = (*entries, Raise(draw(st.sampled_from(KINDS)), log[position], n))
    return entries


plans = st.one_of(anywhere, chains(), chains())
batches = st.tuples(st.integers(0, EPOCHS - 1), st.integers(0, TRAINING - 1))
pauses = st.one_of(st.just(()), st.lists(batches, max_size=3, unique=True).map(tuple))


@given(plans, pauses)
@settings(max_examples=300)
def test_a_fit_behaves_as_nested_loops_whatever_is_raised_in_it(entries, pauses):
    assert Rig(trainer_of).run(entries, pauses) == by_hand(entries, pauses)


@given(plans)
@settings(max_examples=150)
def test_every_open_scope_is_closed_once_and_innermost_first(entries):
    result = used_rig().run(entries)
    assert_nested(result.signals)
    assert result.signals.count("after_error") == (result.ends == "failed") == bool(result.escaped)
    assert result.ends in ("completed", "cancelled", "failed")
    if result.ends != "failed":
        assert result.signals.count("after_cancel_fit") == (result.ends == "cancelled")


@given(st.lists(plans, min_size=1, max_size=2))
@settings(max_examples=60)
def test_a_fit_leaves_nothing_behind_for_the_next_one(several):
    rig = Rig(trainer_of)
    for entries in several:
        rig.run(entries)
        assert rig.run() == undisturbed()


def nesting(trainer, marks):
    """Add two scope handlers for each scope, which log in `marks` what they open and close."""

    def scope_handler(scope, mark):
        def log_scope(trainer, state):
            marks.append(("open", scope, mark))
            try:
                yield
            finally:
                marks.append(("close", scope, mark))

        return log_scope

    for scope in SCOPES:
        for mark in ("outer", "inner"):
            trainer.within(scope)(scope_handler(scope, mark))
    return trainer


@given(plans)
@settings(max_examples=60)
def test_scope_handlers_close_in_reverse_order_whatever_closed_the_scope(entries):
    marks = []
    rig = Rig(lambda world: nesting(trainer_of(world), marks))
    nesting(rig.trainer, marks)
    assert rig.run(entries) == by_hand(entries)
    open_marks = []
    for moment, *which in marks:
        if moment == "open":
            open_marks.append(which)
        else:
            assert open_marks.pop() == which
    assert open_marks == []
    assert marks


# the host drives


@given(plans, st.data())
@settings(max_examples=60)
def test_the_iterator_can_be_closed_at_any_transition(entries, data):
    rig = Rig(trainer_of)
    steps = data.draw(st.integers(1, len(by_hand(entries).signals)))
    rig.begin(entries)
    run = rig.trainer.steps(rig.world.train_loader, rig.world.valid_loader, epochs=2)
    raised = None
    try:
        for _ in range(steps):
            next(run, None)
        run.close()
    except BaseException as error:
        raised = error
    assert_nested(rig.result().signals)
    assert rig.trainer.state.error is None
    assert rig.trainer.state.phase in (("failed",) if raised else ("completed", "cancelled"))
    assert rig.run() == undisturbed()


def test_the_iterator_yields_the_published_transitions(rig):
    for entries in [(), (Raise(CancelEpochException, "after_loss", 2),)]:
        rig.begin(entries)
        run = rig.trainer.steps(rig.world.train_loader, rig.world.valid_loader, epochs=2)
        yielded = [transition.trigger for transition in run]
        assert yielded == rig.result().signals
        assert rig.result() == by_hand(entries)


@pytest.mark.parametrize("leave", ["close", "delete"])
def test_closing_or_deleting_the_iterator_cancels_every_scope(rig, leave):
    length = len(undisturbed().signals)
    for steps in range(1, length):
        rig.begin()
        run = rig.trainer.steps(rig.world.train_loader, rig.world.valid_loader, epochs=2)
        for _ in range(steps):
            next(run)
        if leave == "close":
            run.close()
        del run
        result = rig.result()
        assert_nested(result.signals)
        assert result.signals[:steps] == undisturbed().signals[:steps]
        assert result.signals[-2:] == ["after_cancel_fit", "after_fit"]
        assert result.ends == "cancelled"
        assert rig.trainer.state.cancel.reason == "the iterator of the run was closed"
    assert rig.run() == undisturbed()


# outcomes


@pytest.mark.parametrize(
    ("kind", "outcomes"),
    [
        (CancelBatchException, ["cancelled", "completed", "completed", "completed"]),
        (CancelTrainException, ["cancelled", "cancelled", "completed", "completed"]),
        (CancelEpochException, ["cancelled", "cancelled", "cancelled", "completed"]),
        (CancelFitException, ["cancelled", "cancelled", "cancelled", "cancelled"]),
        (ValueError, ["failed", "failed", "failed", "failed"]),
        (KeyboardInterrupt, ["failed", "failed", "failed", "failed"]),
    ],
)
def test_outcome_at_every_closing_signal_is_that_of_its_scope(rig, kind, outcomes):
    result = rig.run((Raise(kind, "after_pred", 2),))
    first = [("after_backward", "completed"), ("after_step", "completed")]
    assert result.outcomes[:2] == first
    scopes = ("batch", "train", "epoch", "fit")
    closes = result.outcomes[3:]
    assert [dict(reversed(closes))[f"after_{scope}"] for scope in scopes] == outcomes


@pytest.mark.parametrize(
    ("kind", "scope", "then"),
    [
        (CancelBackwardException, "backward", ["after_cancel_backward", "after_backward"]),
        (CancelStepException, "step", ["after_cancel_step", "after_step", "after_batch"]),
    ],
)
def test_a_batch_with_a_cancelled_backward_or_step_is_completed(rig, kind, scope, then):
    result = rig.run((Raise(kind, f"begin_{scope}", 1),))
    at = result.log.index(f"begin_{scope}") + 1
    assert result.log[at : at + len(then)] == then
    first = dict(reversed(result.outcomes))
    assert (first[f"after_{scope}"], first["after_batch"]) == ("cancelled", "completed")


def test_a_cancelled_step_keeps_the_gradients_for_the_next_step(rig):
    kept = seen(rig.trainer, "begin_batch", lambda state: state.model.weight.grad is not None)
    result = rig.run((Raise(CancelStepException, "begin_step", 1),))
    assert kept[:3] == [False, True, False]
    assert result.steps == 5


def test_a_batch_cancelled_after_backward_keeps_its_gradients(rig):
    kept = seen(rig.trainer, "begin_batch", lambda state: state.model.weight.grad is not None)
    rig.run((Raise(CancelBatchException, "after_backward", 1),))
    assert kept[:3] == [False, True, False]


def test_a_fit_begins_without_gradients(rig):
    rig.run((Raise(CancelFitException, "after_backward", 1),))
    assert rig.world.model.weight.grad is not None
    grads = seen(rig.trainer, "begin_fit", lambda state: state.model.weight.grad)
    rig.run()
    assert grads == [None]


# what is readable while scopes close


def test_a_cancel_is_readable_only_while_it_closes_its_scope(rig):
    class Stopper:
        def after_loss(self, trainer, state):
            if state.training and (state.epoch, state.batch_index) == (0, 1):
                raise CancelTrainException("enough")

    def read(state):
        cancel = state.cancel
        return cancel and (cancel.reason, cancel.raised_by, cancel.raised_in)

    rig.trainer.attach(Stopper())
    closes = ("after_batch", "after_cancel_train", "after_train", "begin_validate", "after_epoch")
    read_at = {signal: seen(rig.trainer, signal, read) for signal in closes}
    rig.run()
    cancel = ("enough", "handler Stopper.after_loss", f"{BATCH}.scored")
    assert read_at["after_batch"][:3] == [None, cancel, None]
    assert read_at["after_cancel_train"] == [cancel]
    assert read_at["after_train"] == [cancel, None]
    assert read_at["begin_validate"] == read_at["after_epoch"] == [None, None]


@pytest.mark.parametrize(
    ("point", "phase"),
    [
        ("model", f"{BATCH}.forward"),
        ("loss", f"{BATCH}.loss"),
        ("backward", f"{BATCH}.backward.run"),
        ("optimizer", f"{BATCH}.step.run"),
        ("loader", "fit.epoch.train.fetch"),
    ],
)
def test_a_cancel_raised_by_an_activity_names_the_activity(rig, point, phase):
    rig.run((Raise(CancelFitException, point, 1),))
    cancel = rig.trainer.state.cancel
    assert (cancel.raised_by, cancel.raised_in) == (f"activity {phase}", phase)


def test_the_cancel_of_a_fit_is_readable_until_the_next_fit(rig):
    rig.run((Raise(CancelFitException, "after_epoch", 1),))
    state = rig.trainer.state
    assert (state.outcome, state.cancel.reason) == (
        "cancelled",
        "CancelFitException at after_epoch 1",
    )
    rig.run()
    assert (state.outcome, state.cancel) == ("completed", None)


def test_the_error_is_readable_only_while_scopes_close(rig):
    signals = ("begin_batch", "after_batch", "after_epoch", "after_error", "after_fit")
    errors = {signal: seen(rig.trainer, signal, lambda state: state.error) for signal in signals}
    rig.trainer.on("after_loss", once=True)(raising(ValueError("bad")))
    assert rig.run().escaped == ("ValueError", "bad")
    texts = {signal: [str(error) for error in read] for signal, read in errors.items()}
    assert texts == {"begin_batch": ["None"], **{signal: ["bad"] for signal in signals[1:]}}
    assert rig.trainer.state.error is None


@pytest.mark.parametrize("order", [("after_loss", "after_batch"), ("after_batch", "after_loss")])
def test_the_cancel_of_the_outer_scope_wins_and_keeps_the_other_in_also(rig, order):
    outer, inner = CancelEpochException("outer"), CancelTrainException("inner")
    for signal, cancel in zip(order, (outer, inner), strict=True):
        rig.trainer.on(signal, once=True)(raising(cancel))
    kept = seen(rig.trainer, "after_cancel_epoch", lambda state: (state.cancel, state.cancel.also))
    inner_sent = seen(rig.trainer, "after_cancel_train", lambda state: state.cancel)
    rig.run()
    assert kept == [(outer, [inner])]
    assert inner_sent == []


def test_the_first_of_two_cancels_of_one_scope_wins_and_keeps_the_other(rig):
    first, second = CancelTrainException("first"), CancelTrainException("second")
    rig.trainer.on("after_loss", once=True)(raising(first))
    rig.trainer.on("after_batch", once=True)(raising(second))
    kept = seen(rig.trainer, "after_cancel_train", lambda state: (state.cancel, state.cancel.also))
    rig.run()
    assert kept == [(first, [second])]


def test_one_cancel_instance_can_be_raised_several_times(rig):
    cancel = CancelBatchException("each")
    rig.trainer.on("begin_batch")(raising(cancel))
    result = rig.run()
    assert result.signals.count("after_cancel_batch") == 10
    assert cancel.also == []


def test_fields_that_a_cancelled_batch_did_not_compute_are_none(rig):
    def read(state):
        return [name for name in ("xb", "yb", "pred", "loss") if getattr(state, name) is None]

    missing = seen(rig.trainer, "after_batch", read)
    rig.run(
        (
            Raise(CancelBatchException, "begin_batch", 2),
            Raise(CancelBatchException, "after_pred", 2),
            Raise(CancelBatchException, "model", 3),
        )
    )
    assert missing[:4] == [[], ["pred", "loss"], ["loss"], ["pred", "loss"]]
    assert read(rig.trainer.state) == ["xb", "yb", "pred", "loss"]


# errors


def test_the_first_error_escapes_and_later_ones_are_in_its_notes(rig):
    rig.trainer.on("after_loss", once=True)(raising(ValueError("first")))
    rig.trainer.on("after_batch", once=True)(raising(OSError("second")))
    rig.trainer.on("after_batch", once=True)(raising(CancelBatchException("too late")))
    rig.trainer.on("after_fit", once=True)(raising(KeyError("last")))
    with pytest.raises(ValueError, match="first") as caught:
        rig.trainer.fit(rig.world.train_loader)
    where, *later = caught.value.__notes__
    assert "handler fail in fit.epoch.train.batch.scored, epoch 1, batch 1" in where
    errors = ("OSError: second", "IllegalCancelError", "KeyError: 'last'")
    assert [error in note for note, error in zip(later, errors, strict=True)] == [True] * 3


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_beats_an_error_and_has_it_in_its_notes(rig, interrupt):
    first = interrupt("stop")
    rig.trainer.on("after_loss", once=True)(raising(ValueError("bad")))
    rig.trainer.on("after_batch", once=True)(raising(first))
    rig.trainer.on("after_train", once=True)(raising(KeyboardInterrupt("again")))
    errors = seen(rig.trainer, "after_fit", lambda state: state.error)
    with pytest.raises(interrupt) as caught:
        rig.trainer.fit(rig.world.train_loader)
    assert caught.value is first
    assert errors == [first]
    notes = "".join(first.__notes__)
    assert "ValueError: bad" in notes
    assert "KeyboardInterrupt: again" in notes


def test_an_error_during_a_cancel_names_the_cancel_in_its_notes(rig):
    rig.trainer.on("after_loss", once=True)(raising(CancelEpochException("enough")))
    rig.trainer.on("after_train", once=True)(raising(ValueError("bad")))
    with pytest.raises(ValueError, match="bad") as caught:
        rig.trainer.fit(rig.world.train_loader)
    assert any("CancelEpochException('enough') was closing" in n for n in caught.value.__notes__)


@pytest.mark.parametrize(
    ("cancel", "signal", "message"),
    [
        (CancelBatchException, "begin_train", "no batch is open; open here: train, epoch, fit"),
        (CancelBatchException, "after_batch", "no batch is open; open here: train, epoch, fit"),
        (CancelValidException, "begin_train", "no validate is open; open here: train, epoch, fit"),
        (CancelStepException, "after_step", "no step is open; open here: batch, train, epoch, fit"),
        (CancelTrainException, "begin_epoch", "no train is open; open here: epoch, fit"),
        (CancelFitException, "after_fit", "no fit is open; open here: nothing"),
    ],
)
def test_a_cancel_of_a_scope_that_is_not_open_is_an_error(rig, cancel, signal, message):
    late = cancel("late")
    rig.trainer.on(signal, once=True)(raising(late))
    with pytest.raises(IllegalCancelError, match=f"{cancel.__name__}.*'late'.*{message}") as caught:
        rig.trainer.fit(rig.world.train_loader)
    assert caught.value.__cause__ is late


@pytest.mark.parametrize("cancel", KINDS[:7])
def test_a_cancel_of_a_scope_that_is_already_closing_is_an_error(rig, cancel):
    name = cancel.scope
    rig.trainer.on(f"begin_{name}", once=True)(raising(cancel("first")))
    rig.trainer.on(f"after_cancel_{name}")(raising(cancel("second")))
    with pytest.raises(IllegalCancelError, match=f"second.*the {name} is closing already"):
        rig.trainer.fit(rig.world.train_loader, rig.world.valid_loader)
    assert_nested(rig.result().signals)


# which receivers are called


@pytest.mark.parametrize("first", [ValueError, KeyboardInterrupt, CancelFitException])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_closing_signal_reaches_all_receivers_even_if_some_raise(rig, scope, first):
    called = []
    signal = f"after_{scope}"

    @rig.trainer.on("any_transition")
    def watcher(trainer, state, transition):
        if transition.trigger == signal:
            called.append("watcher")
            raise first("watcher")

    for name, error in (("one", first), ("two", OSError)):
        rig.trainer.on(signal)(raising(error(name)))
        rig.trainer.on(signal)(lambda trainer, state, name=name: called.append(name))
    with pytest.raises(BaseException):  # noqa: B017, PT011
        rig.trainer.fit(rig.world.train_loader, rig.world.valid_loader)
    assert called == ["watcher", "one", "two"]
    assert_nested(rig.result().signals)


def test_a_closing_signal_reaches_each_of_several_equal_receivers_once(rig):
    @dataclass(unsafe_hash=True)
    class Counter:
        calls: int = field(default=0, compare=False)

        def __call__(self, trainer, state):
            self.calls += 1
            if sum(counter.calls for counter in counters) == 2:
                raise ValueError("the second one")

    counters = [Counter(), Counter(), Counter()]
    for counter in counters:
        rig.trainer.on("after_batch")(counter)
    assert rig.run().escaped == ("ValueError", "the second one")
    assert [counter.calls for counter in counters] == [1, 1, 1]


def test_other_signals_stop_at_the_first_receiver_that_raises(rig):
    rig.trainer.on("after_pred")(raising(CancelBatchException()))
    called = seen(rig.trainer, "after_pred", lambda state: state.batch_index)
    rig.run()
    assert called == []


def test_a_handler_with_on_error_detach_is_detached_at_its_first_error(rig, caplog):
    class Logger:
        on_error = "detach"
        calls = 0
        closed = 0

        def after_batch(self, trainer, state):
            self.calls += 1
            raise OSError("disk full")

        def within_epoch(self, trainer, state):
            try:
                yield
            finally:
                self.closed += 1

    logger = Logger()
    rig.trainer.attach(logger)
    with caplog.at_level(logging.ERROR, logger="trackside"):
        assert rig.run() == undisturbed()
    assert (logger.calls, logger.closed) == (1, 1)
    assert logger not in rig.trainer.handlers
    assert "Logger.after_batch failed in fit.epoch.train.fetch, epoch 1, batch 1" in caplog.text
    assert "disk full" in caplog.text


def test_a_handler_with_on_error_detach_can_cancel(rig):
    class Logger:
        on_error = "detach"

        def after_batch(self, trainer, state):
            raise CancelFitException("seen enough")

    logger = Logger()
    rig.trainer.attach(logger)
    assert rig.run().ends == "cancelled"
    assert logger in rig.trainer.handlers


def test_except_exception_does_not_catch_a_cancel(rig):
    forward = rig.world.model.forward

    def careless(xb):
        try:
            return forward(xb)
        except Exception:
            return torch.zeros(4, 2)

    rig.world.model.forward = careless
    result = rig.run((Raise(CancelTrainException, "model", 2),))
    assert result.signals.count("after_cancel_train") == 1
    assert result == by_hand((Raise(CancelTrainException, "model", 2),))


# what remains after a fit


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("point", ["after_pred", "model", "begin_validate", "after_fit"])
@pytest.mark.parametrize("kind", [CancelFitException, ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("n", [1, 5])
def test_train_mode_and_grad_mode_are_restored_after_a_fit(rig, kind, point, n, training):
    rig.world.model.train(training)
    rig.run((Raise(kind, point, n),))
    assert rig.world.model.training is training
    assert torch.is_grad_enabled()
    assert rig.trainer.state.batches is None


@pytest.mark.parametrize("kind", [CancelFitException, ValueError, KeyboardInterrupt])
def test_grad_mode_disabled_by_a_handler_is_restored_after_the_fit(rig, kind):
    @rig.trainer.on("begin_validate")
    def disable(trainer, state):
        torch.set_grad_enabled(False)

    rig.run((Raise(kind, "model", 4),))
    enabled = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    assert enabled


def test_a_run_leaves_no_route_registered_with_the_signals(rig):
    gc.collect()
    before = len(any_transition._routes)
    for entries in [(), (Raise(CancelFitException, "after_loss", 2),)]:
        rig.run(entries)
        assert len(any_transition._routes) <= before


@pytest.mark.parametrize("kind", [CancelBatchException, CancelFitException, ValueError])
def test_a_cancelled_or_failed_fit_keeps_no_batch_and_no_graph(rig, kind):
    graphs = seen(rig.trainer, "after_loss", lambda state: weakref.ref(state.pred))
    rig.run((Raise(kind, "after_loss", 3),))
    gc.collect()
    assert graphs
    assert not any(graph() is not None for graph in graphs)


def test_a_loss_lives_until_the_next_one_is_there_and_no_longer(rig):
    losses, alive = [], {"loss": [], "scored": []}

    def look(trainer, state):
        alive[state.phase.rpartition(".")[2]].append([ref() is not None for ref in losses])

    rig.trainer.on("after_pred")(look)
    rig.trainer.on("after_loss")(look)
    rig.trainer.on("after_loss")(lambda trainer, state: losses.append(weakref.ref(state.loss)))
    rig.trainer.fit(rig.world.train_loader, epochs=1)
    assert alive == {"loss": [[], [True], [False, True]], "scored": [[], [False], [False] * 2]}


# validation in the middle of an epoch


def test_training_resumes_after_a_validation_in_mid_epoch(rig):
    result = rig.run((), [(0, 0), (1, 2)])
    assert result == by_hand((), [(0, 0), (1, 2)])
    assert result.signals.count("begin_validate") == 4
    assert result.steps == undisturbed().steps


def test_training_does_not_pause_without_a_valid_loader(rig):
    rig.begin((), [(0, 0)])
    rig.trainer.fit(rig.world.train_loader, epochs=1)
    assert rig.result().steps == 3


# validate and predict


@pytest.mark.parametrize("job", ["validate", "predict"])
@pytest.mark.parametrize(
    ("kind", "point", "tail"),
    [
        (CancelBatchException, "model", ["after_cancel_batch", "after_batch", "after_validate"]),
        (CancelValidException, "model", ["after_batch", "after_cancel_validate", "after_validate"]),
        (ValueError, "model", ["after_batch", "after_error", "after_validate"]),
        (KeyboardInterrupt, "loader", ["after_batch", "after_error", "after_validate"]),
        (CancelFitException, "model", ["after_batch", "after_error", "after_validate"]),
        (ValueError, "after_validate", ["after_batch", "after_validate", "after_error"]),
    ],
)
def test_an_evaluation_closes_its_scopes_like_a_fit(rig, job, kind, point, tail):
    n = {"model": 2, "loader": 3, "after_validate": 1}[point]
    rig.begin((Raise(kind, point, n),))
    escaped = None
    try:
        getattr(rig.trainer, job)(rig.world.valid_loader)
    except (ValueError, IllegalCancelError, KeyboardInterrupt) as error:
        escaped = error
    result = rig.result(escaped)
    assert_nested(result.signals)
    assert [signal for signal in result.signals if signal in tail][-3:] == tail
    assert result.ends == (
        "failed" if escaped else {"batch": "completed"}.get(kind.scope, "cancelled")
    )
    assert rig.run() == undisturbed()
