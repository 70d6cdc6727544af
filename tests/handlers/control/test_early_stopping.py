import math

import pytest
import torch
from helpers import batches, cancelled_fit, early_or_late, every_cancel, model, state_of, trainer_of

from trackside.events import (
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelValidException,
)
from trackside.handlers import EarlyStopping, Metrics


class Writes:
    """Writes one value of `valid_loss` each epoch; None: the epoch has no validation."""

    def __init__(self, *values):
        self.values = values

    def after_train(self, trainer, state):
        value = self.values[state.epoch]
        state.validation_due = value is not None
        if state.validation_due:
            state.metrics["valid_loss"] = value


def fitted(values, **options):
    trainer = trainer_of(Writes(*values), EarlyStopping(**options))
    trainer.fit(batches(1), epochs=len(values))
    return trainer.state


@pytest.mark.parametrize(
    ("values", "options", "last"),
    [
        ([5, 4, 3, 2, 1], {"patience": 1}, None),
        ([5, 6, 7, 8, 9], {"patience": 1}, 1),
        ([5, 6, 7, 8, 9], {"patience": 3}, 3),
        ([5, 6, 4, 6, 6, 6], {"patience": 2}, 4),
        ([5, 5, 5], {"patience": 1}, 1),
        ([5, 4.95, 4.85, 4.7], {"patience": 2, "min_delta": 0.1}, None),
        ([5, 4.95, 4.92, 4.7], {"patience": 2, "min_delta": 0.1}, 2),
        ([1, 2, 3, 3], {"patience": 1, "mode": "max"}, 3),
        ([5, math.nan, math.nan, 1], {"patience": 2}, 2),
        ([math.nan, math.nan, 1], {"patience": 2}, 1),
        ([math.nan, 5, 4, 6], {"patience": 2}, None),
        ([math.inf, 5, 6, 6], {"patience": 2}, 3),
        ([5, None, None, None, 6, 6], {"patience": 2}, 5),
        ([torch.tensor(5.0), torch.tensor(6.0)], {"patience": 1}, 1),
    ],
)
def test_the_fit_ends_after_patience_epochs_without_improvement(values, options, last):
    state = fitted(values, **options)
    if last is None:
        assert (state.phase, state.epoch) == ("completed", len(values) - 1)
    else:
        assert (state.phase, state.epoch) == ("cancelled", last)


def test_the_reason_names_metric_best_value_and_epoch():
    state = fitted([5, 0.12345678, 7, 7], patience=2)
    assert isinstance(state.cancel, CancelFitException)
    assert state.cancel.reason == (
        "valid_loss has not improved for 2 epochs; best was 0.123457 in epoch 2"
    )
    assert state.cancel.raised_by == "handler EarlyStopping.after_epoch"


def test_the_reason_says_if_no_value_was_a_number():
    state = fitted([math.nan, math.nan], patience=2)
    assert state.cancel.reason.endswith("no value was a number")


def test_a_missing_metric_raises_an_error_that_lists_the_existing_ones():
    trainer = trainer_of(Metrics(), EarlyStopping())
    with pytest.raises(LookupError, match=r"no metric 'valid_loss' .*there are: train_loss"):
        trainer.fit(batches(1), epochs=3)
    assert trainer.state.epoch == 0


def test_without_any_metric_the_error_says_what_to_attach():
    with pytest.raises(LookupError, match="attach Metrics"):
        trainer_of(EarlyStopping()).fit(batches(1))


def test_it_reads_the_values_of_metrics_in_any_attachment_order():
    trainer = trainer_of(EarlyStopping("train_loss", patience=1, min_delta=100), Metrics())
    trainer.fit(batches(1), epochs=5)
    assert trainer.state.epoch == 1


@pytest.mark.parametrize(
    ("signal", "cancel"),
    [
        ("begin_train", CancelEpochException),
        ("begin_validate", CancelEpochException),
        ("begin_validate", CancelValidException),
        ("after_cancel_validate", CancelEpochException),
    ],
)
def test_an_epoch_cancelled_before_its_metric_is_not_counted(signal, cancel):
    stopping = EarlyStopping(patience=1, min_delta=100)
    trainer = trainer_of(Metrics(), stopping)

    @trainer.on(signal, when=lambda t, state: state.epoch < 2)
    def cancel_two(trainer, state):
        raise cancel

    @trainer.on(
        "begin_validate",
        when=lambda t, state: signal.startswith("after_cancel") and not state.epoch,
    )
    def cancel_validation(trainer, state):
        raise CancelValidException

    trainer.fit(batches(1), batches(1), epochs=9)
    assert trainer.state.epoch == (2 if signal.startswith("after_cancel") else 3)


def test_an_epoch_without_a_validation_is_not_counted():
    trainer = trainer_of(Metrics(), EarlyStopping(patience=1, min_delta=100))

    @trainer.on("begin_epoch", when=lambda t, state: state.epoch % 2 == 0)
    def leave_out(trainer, state):
        state.validation_due = False

    trainer.fit(batches(1), batches(1), epochs=9)
    assert trainer.state.epoch == 3


def test_an_epoch_with_all_batches_cancelled_is_not_counted():
    stopping = EarlyStopping(patience=1, min_delta=100)
    trainer = trainer_of(Metrics(), stopping)

    @trainer.on("begin_batch", when=lambda t, state: state.epoch == 0 and not state.training)
    def cancel(trainer, state):
        raise CancelBatchException

    trainer.fit(batches(1), batches(2), epochs=9)
    assert (trainer.state.epoch, stopping.best_epoch) == (2, 1)


def test_an_epoch_cancelled_after_its_metric_is_counted():
    trainer = trainer_of(Metrics(), EarlyStopping(patience=1, min_delta=100))

    @trainer.on("after_validate")
    def cancel(trainer, state):
        raise CancelEpochException

    trainer.fit(batches(1), batches(1), epochs=9)
    assert trainer.state.epoch == 1


def test_the_error_of_a_failed_epoch_is_not_replaced():
    trainer = trainer_of(Metrics(), EarlyStopping())

    @trainer.on("begin_train")
    def fail(trainer, state):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        trainer.fit(batches(1), batches(1))


def test_a_new_fit_starts_without_a_best_value():
    stopping = EarlyStopping(patience=2)
    trainer = trainer_of(Writes(1, 2, 3), stopping)
    for _ in range(2):
        trainer.fit(batches(1), epochs=3)
        assert (stopping.best, stopping.best_epoch, stopping.waited) == (1, 0, 2)
        assert trainer.state.epoch == 2


def test_works_on_a_hand_made_state():
    stopping, state = EarlyStopping("score", patience=1, mode="max"), state_of(epoch=0)
    stopping.begin_fit(None, state)
    state.report(score=1)
    state.reported = state.reports.take()
    stopping.reported(None, state)
    state.epoch = 1
    with pytest.raises(CancelFitException, match="best was 1 in epoch 1"):
        stopping.reported(None, state)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"patience": 0}, ValueError),
        ({"patience": 1.5}, TypeError),
        ({"patience": True}, TypeError),
        ({"min_delta": -1}, ValueError),
        ({"min_delta": math.nan}, ValueError),
        ({"mode": "best"}, ValueError),
    ],
)
def test_invalid_arguments_raise(options, error):
    with pytest.raises(error, match=rf"EarlyStopping\({next(iter(options))}="):
        EarlyStopping(**options)


def test_no_device_sync():
    trainer = trainer_of(
        Writes(1, 2, 3), EarlyStopping(patience=2), net=model().to("meta"), device="meta"
    )
    trainer.fit(batches(), epochs=3)
    assert trainer.state.phase == "cancelled"


@every_cancel
@early_or_late
def test_the_next_fit_works_after_any_cancel(signal, scope, early):
    stopping = EarlyStopping("train_loss", patience=1, min_delta=100)
    trainer = cancelled_fit(stopping, signal, scope, early, handlers=[Metrics()])
    trainer.fit(batches(), batches(), epochs=9)
    assert (trainer.state.epoch, stopping.best_epoch) == (1, 0)


@pytest.mark.parametrize("value", [torch.ones(2), torch.ones(1, device="meta")])
def test_a_report_that_is_no_number_is_an_error_that_says_so(value):
    trainer = trainer_of(EarlyStopping())
    trainer.on("after_train")(lambda trainer, state: state.report(valid_loss=value))
    with pytest.raises(TypeError, match=r"EarlyStopping judges by 'valid_loss', and .*a number"):
        trainer.fit(batches(1))
