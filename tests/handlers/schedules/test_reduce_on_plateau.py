import math

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    every_cancel,
    model,
    raise_at,
    state_of,
    trainer_of,
)
from optimizers import Reads, in_groups, options, seen, sgd
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trackside.events import (
    CancelBatchException,
    CancelEpochException,
    CancelTrainException,
    CancelValidException,
)
from trackside.handlers.control.validate_every import ValidateEvery
from trackside.handlers.logging.history import History
from trackside.handlers.logging.metrics import Metrics
from trackside.handlers.optimization.unfreeze import Unfreeze
from trackside.handlers.optimization.weight_decay_groups import WeightDecayGroups
from trackside.handlers.schedules.reduce_on_plateau import ReduceOnPlateau


class Writes:
    """Writes these values of `valid_loss`, one per epoch; None writes nothing."""

    def __init__(self, *values):
        self.values = values

    def begin_epoch(self, trainer, state):
        state.validation_due = self.values[state.epoch] is not None

    def after_train(self, trainer, state):
        if state.validation_due:
            state.metrics["valid_loss"] = self.values[state.epoch]


def rates(values, **arguments):
    trainer = trainer_of(Writes(*values), ReduceOnPlateau(**arguments))
    lrs = seen(trainer)
    trainer.fit(batches(1), epochs=len(values))
    return lrs


def by_torch(values, **arguments):
    optimizer = sgd(model())
    scheduler = ReduceLROnPlateau(optimizer, threshold_mode="abs", **arguments)
    lrs = []
    for value in values:
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(value)
    return lrs


@pytest.mark.parametrize(
    ("values", "arguments", "theirs"),
    [
        ([5, 4, 3, 3, 3, 3, 3, 3], {"patience": 2}, {"patience": 2, "threshold": 0}),
        ([5, 5, 5, 5, 5, 5], {"patience": 0}, {"patience": 0, "threshold": 0}),
        (
            [5, 5, 5, 5, 5, 5, 5, 5, 5],
            {"patience": 1, "cooldown": 2, "factor": 0.5},
            {"patience": 1, "cooldown": 2, "factor": 0.5, "threshold": 0},
        ),
        (
            [1, 1.05, 1.2, 1.1, 1.1, 1.1],
            {"patience": 0, "mode": "max", "min_delta": 0.1},
            {"patience": 0, "mode": "max", "threshold": 0.1},
        ),
        (
            [5, 6, 7, 8, 9, 10],
            {"patience": 0, "min_lr": 0.002},
            {"patience": 0, "min_lr": 0.002, "threshold": 0},
        ),
        ([-1, -0.99, -1.1, -1, -1], {"patience": 0}, {"patience": 0, "threshold": 0}),
        ([5, math.nan, math.nan, 1], {"patience": 1}, {"patience": 1, "threshold": 0}),
    ],
    ids=["patience", "impatient", "cooldown", "max", "least", "negative", "nan"],
)
def test_rates_equal_those_of_torch(values, arguments, theirs):
    lrs = rates(values, **arguments)
    assert lrs == by_torch(values, **theirs)
    assert lrs[-1] < 0.1


def test_all_groups_are_reduced_by_the_same_factor():
    net = model()
    plateau = ReduceOnPlateau(patience=0, factor=0.5)
    trainer = trainer_of(Writes(1, 1, 1), plateau, net=net, optimizer=in_groups(net))
    first, last = seen(trainer, group=0), seen(trainer, group=3)
    trainer.fit(batches(1), epochs=3)
    assert first == [0.1, 0.1, 0.05]
    assert last == [0.4, 0.4, 0.2]


def test_tensor_metric_is_read_once_per_epoch():
    with Reads() as reads:
        lrs = rates([torch.tensor(5.0)] * 3, patience=0)
    assert lrs == rates([5, 5, 5], patience=0)
    assert reads.count == 3


def test_epoch_without_validation_is_not_counted():
    assert rates([5, None, None, None, 6, 6], patience=1) == [0.1] * 6
    assert rates([5, None, 6, None, 6, None, 6], patience=1)[-1] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("signal", "cancel"),
    [
        ("begin_epoch", CancelEpochException),
        ("begin_train", CancelEpochException),
        ("begin_validate", CancelValidException),
        ("after_loss", CancelBatchException),
    ],
)
def test_epoch_cancelled_before_the_metric_is_not_counted(signal, cancel):
    trainer = trainer_of(Metrics(), ReduceOnPlateau(patience=0, min_delta=100))

    @trainer.on(signal, when=lambda t, state: state.epoch == 1)
    def cancel_it(trainer, state):
        raise cancel

    lrs = seen(trainer, signal="after_epoch")
    trainer.fit(batches(1), batches(1), epochs=4)
    assert lrs == pytest.approx([0.1, 0.1, 0.1, 0.01])


def test_metric_missing_after_cancelled_training_is_allowed():
    trainer = trainer_of(Metrics(), ReduceOnPlateau("train_loss", patience=0))
    raise_at(trainer, "begin_batch", CancelTrainException)
    trainer.fit(batches(1), epochs=1)
    assert trainer.state.phase == "completed"


def test_metric_missing_in_the_next_epoch_raises():
    trainer = trainer_of(ReduceOnPlateau())
    raise_at(trainer, "begin_batch", CancelBatchException)
    with pytest.raises(LookupError, match="after epoch 2"):
        trainer.fit(batches(1), epochs=3)


def test_default_patience_is_three_epochs():
    assert rates([5] * 6)[3:] == pytest.approx([0.1, 0.1, 0.01])


def test_missing_metric_raises_and_lists_the_existing_ones():
    trainer = trainer_of(Metrics(), ReduceOnPlateau("valid_accuracy"))
    with pytest.raises(LookupError, match=r"'valid_accuracy' .*there are: train_loss, valid_loss"):
        trainer.fit(batches(1), batches(1), epochs=3)
    assert trainer.state.epoch == 0


def test_error_without_any_metric_suggests_Metrics():
    with pytest.raises(LookupError, match="attach Metrics"):
        trainer_of(ReduceOnPlateau()).fit(batches(1))


@pytest.mark.parametrize("first", [True, False])
def test_after_epoch_shows_the_rate_of_that_epoch(first):
    history = History()
    handlers = [ReduceOnPlateau(patience=0), history]
    trainer = trainer_of(Writes(5, 5, 5), *handlers if first else reversed(handlers))
    trainer.fit(batches(1), epochs=3)
    assert [row["lr"] for row in history.rows] == pytest.approx([0.1, 0.1, 0.01])


def test_reads_metrics_in_any_attachment_order():
    trainer = trainer_of(ReduceOnPlateau("train_loss", patience=0, min_delta=100), Metrics())
    lrs = seen(trainer)
    trainer.fit(batches(1), epochs=3)
    assert lrs == pytest.approx([0.1, 0.1, 0.01])


def test_works_with_rare_validations():
    trainer = trainer_of(
        Metrics(), ValidateEvery(epochs=2), ReduceOnPlateau(patience=0, min_delta=100)
    )
    lrs = seen(trainer)
    trainer.fit(batches(1), batches(1), epochs=6)
    assert lrs == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("last", [True, False])
def test_rates_of_groups_made_at_begin_fit_are_restored(last):
    net = model()
    optim = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.01)
    handlers = [ReduceOnPlateau(patience=0), WeightDecayGroups(), Unfreeze(["2", "0"])]
    trainer = trainer_of(
        Writes(5, 5, 5), *reversed(handlers) if last else handlers, net=net, optimizer=optim
    )
    lrs = seen(trainer, group=1)
    trainer.fit(batches(1), epochs=3)
    assert lrs == pytest.approx([0.1, 0.1, 0.01])
    assert [group["lr"] for group in optim.param_groups] == [0.1, 0.1]


def test_second_fit_starts_with_the_first_rate_and_patience():
    trainer = trainer_of(Writes(5, 5, 5), ReduceOnPlateau(patience=0))
    lrs = seen(trainer)
    before = options(trainer.state.optimizer)
    trainer.fit(batches(1), epochs=3)
    trainer.validate(batches(1))
    assert options(trainer.state.optimizer) == before
    trainer.fit(batches(1), epochs=3)
    assert lrs == pytest.approx([0.1, 0.1, 0.01] * 2)


def test_detach_during_fit_restores_the_rate():
    plateau = ReduceOnPlateau(patience=0)
    trainer = trainer_of(Writes(5, 5, 5, 5), plateau)
    trainer.on("after_train", when=lambda t, state: state.epoch == 2)(
        lambda t, state: t.detach(plateau)
    )
    lrs = seen(trainer)
    trainer.fit(batches(1), epochs=4)
    assert lrs == pytest.approx([0.1, 0.1, 0.01, 0.1])
    assert plateau.scheduler is None


def test_works_on_a_hand_made_state():
    net = model()
    state = state_of(model=net, optimizer=sgd(net), phase="fit.epoch.validated")
    state.report(valid_loss=1.0)
    state.reported = state.reports.take()
    plateau = ReduceOnPlateau(patience=0)
    fit = plateau.within_fit(None, state)
    next(fit)
    for _ in range(2):
        plateau.begin_epoch(None, state)
        plateau.reported(None, state)
    assert state.lr == 0.1
    plateau.begin_epoch(None, state)
    assert state.lr == pytest.approx(0.01)
    assert next(fit, "ended") == "ended"
    assert state.lr == 0.1


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"factor": 0}, ValueError),
        ({"factor": 1}, ValueError),
        ({"patience": -1}, ValueError),
        ({"patience": 1.5}, TypeError),
        ({"patience": True}, TypeError),
        ({"cooldown": -1}, ValueError),
        ({"cooldown": "1"}, TypeError),
        ({"min_delta": -0.1}, ValueError),
        ({"min_delta": math.nan}, ValueError),
        ({"min_lr": -1}, ValueError),
        ({"min_lr": math.inf}, ValueError),
        ({"mode": "most"}, ValueError),
    ],
)
def test_invalid_argument_is_named_in_the_error(wrong, error):
    with pytest.raises(error, match=rf"ReduceOnPlateau\({next(iter(wrong))}="):
        ReduceOnPlateau(**wrong)


def test_no_device_sync():
    net = model().to("meta")
    trainer = trainer_of(Writes(5, 5), ReduceOnPlateau(patience=0), net=net, device="meta")
    trainer.fit(batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
@early_or_late
def test_any_cancel_restores_everything_for_the_next_fit(signal, scope, early):
    plateau = ReduceOnPlateau(patience=0, min_delta=100)
    trainer = cancelled_fit(plateau, signal, scope, early, handlers=[Metrics()])
    assert options(trainer.state.optimizer) == options(trainer_of().state.optimizer)
    lrs = seen(trainer)
    trainer.fit(batches(1), batches(1), epochs=3)
    assert lrs == pytest.approx([0.1, 0.1, 0.01])
