import pytest
from helpers import (
    Trace,
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    model,
    raise_at,
    state_of,
    trainer_of,
    weights,
)
from torch.optim.lr_scheduler import ConstantLR

from trackside.events import CancelValidException
from trackside.handlers.control.limit_batches import LimitBatches
from trackside.handlers.logging.metrics import Metrics
from trackside.handlers.optimization.gradient_accumulation import GradientAccumulation
from trackside.handlers.schedules.lr_schedule import LRSchedule


class Counts:
    """(batches, n_batches) of each pass."""

    def __init__(self):
        self.train, self.valid = [], []

    def after_train(self, trainer, state):
        self.train.append((state.batch_index + 1, state.n_batches))

    def after_validate(self, trainer, state):
        self.valid.append((state.batch_index + 1, state.n_batches))


def counted(handler, train=5, valid=4, epochs=2, **options):
    counts = Counts()
    trainer = trainer_of(handler, counts)
    trainer.fit(batches(train), batches(valid), epochs=epochs, **options)
    assert trainer.state.outcome == "completed"
    return counts


@pytest.mark.parametrize(
    ("limits", "train", "valid"),
    [
        ({"train": 2}, 2, 4),
        ({"valid": 2}, 5, 2),
        ({"train": 3, "valid": 1}, 3, 1),
        ({"train": 9, "valid": 9}, 5, 4),
        ({"train": 5, "valid": 4}, 5, 4),
    ],
)
def test_each_pass_has_at_most_the_given_batches(limits, train, valid):
    counts = counted(LimitBatches(**limits))
    assert counts.train == [(train, train)] * 2
    assert counts.valid == [(valid, valid)] * 2


@pytest.mark.parametrize(("limit", "expected"), [(2, 2), (4, 3)])
def test_the_smaller_of_two_training_limits_applies(limit, expected):
    counts = counted(LimitBatches(train=3), batches_per_epoch=limit)
    assert counts.train == [(expected, expected)] * 2


def test_the_limit_of_the_fit_call_is_restored_after_the_fit():
    trainer = trainer_of(LimitBatches(train=2))
    trainer.fit(batches(5), batches_per_epoch=4)
    assert trainer.state.batches_per_epoch == 4


def test_training_equals_a_shorter_loader_bit_for_bit():
    limited, short = trainer_of(LimitBatches(train=2, valid=1)), trainer_of()
    limited.fit(batches(5), batches(5), epochs=2)
    short.fit(batches(5)[:2], batches(5)[:1], epochs=2)
    assert equal(weights(limited), weights(short))


def test_no_pass_is_cancelled_and_metrics_cover_its_batches():
    trace, valid = Trace(), batches(5)
    trainer = trainer_of(LimitBatches(train=2, valid=2), Metrics(), trace)
    trainer.fit(batches(5), valid)
    assert not [signal for signal in trace.signals if "cancel" in signal]
    valid_loss = trainer.state.metrics["valid_loss"]
    assert (
        valid_loss
        == trainer_of(Metrics(), net=trainer.state.model).validate(valid[:2])["valid_loss"]
    )


def test_loaders_without_a_length_are_limited_too():
    class Stream:
        def __iter__(self):
            return iter(batches(5))

    counts = Counts()
    trainer = trainer_of(LimitBatches(train=2, valid=3), counts)
    trainer.fit(Stream(), Stream(), epochs=2)
    assert counts.train == [(2, 2)] * 2
    assert counts.valid == [(3, 3)] * 2


def test_an_iterator_continues_in_the_next_epoch():
    data = batches(6)
    targets = []
    trainer = trainer_of(LimitBatches(train=2))
    trainer.on("begin_batch")(lambda t, state: targets.append(state.yb))
    trainer.fit(iter(data), epochs=3, batches_per_epoch=5)
    assert equal(targets, [y for _, y in data])


def test_no_unused_batch_is_read():
    read = []

    class Reading:
        def __iter__(self):
            for batch in batches(5):
                read.append(batch)
                yield batch

        def __len__(self):
            return 5

    trainer_of(LimitBatches(train=2, valid=1)).fit(Reading(), Reading())
    assert len(read) == 3


def test_validate_and_predict_are_not_limited():
    trainer, counts = trainer_of(LimitBatches(train=1, valid=1)), Counts()
    trainer.attach(counts)
    trainer.validate(batches(3))
    assert len(trainer.predict(batches(3))) == 12
    assert counts.valid == [(3, 3), (3, 3)]


def test_every_validation_of_an_epoch_is_limited():
    trainer, counts = trainer_of(LimitBatches(valid=2)), Counts()
    trainer.attach(counts)
    trainer.on("after_step", every=2)(lambda t, state: setattr(state, "validate_next", True))
    trainer.fit(batches(5), batches(3))
    assert counts.valid == [(2, 2)] * 3


def test_accumulation_steps_at_the_last_batch():
    trainer = trainer_of(LimitBatches(train=3), GradientAccumulation(2))
    trainer.fit(batches(5), epochs=2)
    assert trainer.state.step == 4


@pytest.mark.parametrize("last", [True, False])
def test_schedules_use_the_limit_in_any_attachment_order(last):
    totals = []

    def factory(optimizer, total):
        totals.append(total)
        return ConstantLR(optimizer)

    handlers = [LimitBatches(train=2), LRSchedule(factory)]
    trainer_of(*reversed(handlers) if last else handlers).fit(batches(5), epochs=3)
    assert totals == [6]


def test_a_second_fit_is_limited_like_the_first():
    counts = Counts()
    trainer = trainer_of(LimitBatches(train=2, valid=1), counts)
    trainer.fit(batches(5), batches(5))
    trainer.validate(batches(3))
    trainer.fit(batches(5), batches(5))
    assert counts.train == [(2, 2)] * 2
    assert counts.valid == [(1, 1), (3, 3), (1, 1)]


def test_detached_during_a_fit_it_limits_no_further_pass():
    limit, counts = LimitBatches(train=2, valid=1), Counts()
    trainer = trainer_of(limit, counts)
    trainer.on("after_train", once=True)(lambda t, state: t.detach(limit))
    trainer.fit(batches(5), batches(4), epochs=2)
    assert counts.train == [(2, 2), (5, 5)]
    assert counts.valid == [(4, 4), (4, 4)]


def test_works_on_a_hand_made_state():
    state = state_of(valid_loader=batches(4))
    limit = LimitBatches(train=3, valid=2)
    fit = limit.within_fit(None, state)
    next(fit)
    assert state.batches_per_epoch == 3
    assert state.batches_per_validation == 2
    assert next(fit, "ended") == "ended"
    assert (state.batches_per_epoch, state.batches_per_validation) == (None, None)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({}, TypeError, "give train=, valid=, or both"),
        ({"train": 0}, ValueError, r"LimitBatches\(train=0\): allowed: an int, from 1"),
        ({"train": 0.5}, TypeError, r"LimitBatches\(train=0.5\): found a float; allowed: an int"),
        ({"valid": -1}, ValueError, r"LimitBatches\(valid=-1\): allowed: an int, from 1"),
        ({"valid": True}, TypeError, r"LimitBatches\(valid=True\): found a bool; allowed: an int"),
    ],
)
def test_invalid_arguments_raise(wrong, error, message):
    with pytest.raises(error, match=message):
        LimitBatches(**wrong)


def test_no_device_sync():
    net = model().to("meta")
    trainer = trainer_of(LimitBatches(train=2, valid=1), net=net, device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 4


@every_cancel
@early_or_late
def test_the_next_fit_is_complete_after_any_cancel(signal, scope, early):
    limit = LimitBatches(train=2, valid=1)
    trainer = cancelled_fit(limit, signal, scope, early)
    assert trainer.state.batches_per_epoch is None
    assert trainer.state.batches is None
    counts = Counts()
    trainer.attach(counts)
    trainer.fit(batches(5), batches(4))
    assert (counts.train, counts.valid) == ([(2, 2)], [(1, 1)])


def test_a_cancelled_validation_does_not_affect_the_next():
    trainer, counts = trainer_of(LimitBatches(valid=2)), Counts()
    raise_at(trainer, "begin_validate", CancelValidException)
    trainer.attach(counts)
    trainer.fit(batches(2), batches(4), epochs=2)
    assert counts.valid[1] == (2, 2)
