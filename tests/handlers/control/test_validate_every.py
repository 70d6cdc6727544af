import pytest
from helpers import (
    Trace,
    batches,
    cancelled_fit,
    equal,
    every_cancel,
    model,
    raise_at,
    state_of,
    trainer_of,
    weights,
)

from trackside.events import CancelBatchException, CancelTrainException, CancelValidException
from trackside.handlers.control.validate_every import ValidateEvery
from trackside.handlers.logging.metrics import Metrics
from trackside.handlers.optimization.gradient_accumulation import GradientAccumulation


def validations(trainer):
    """(epoch, step) of each validation."""
    validated = []
    trainer.on("begin_validate")(lambda t, state: validated.append((state.epoch, state.step)))
    return validated


def validations_with(handler, count=4, epochs=3, handlers=()):
    trainer = trainer_of(handler, *handlers)
    validated = validations(trainer)
    trainer.fit(batches(count), batches(2), epochs=epochs)
    assert trainer.state.phase == "completed"
    return validated


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, [(0, 1), (0, 2), (0, 3), (1, 4), (1, 5), (1, 6)]),
        (2, [(0, 2), (1, 4), (1, 6)]),
        (3, [(0, 3), (1, 6)]),
        (4, [(1, 4), (1, 6)]),
        (6, [(1, 6)]),
        (99, [(1, 6)]),
    ],
)
def test_it_validates_every_n_steps_and_at_the_end(steps, expected):
    assert validations_with(ValidateEvery(steps=steps), count=3, epochs=2) == expected


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(1, [0, 1, 2, 3, 4]), (2, [1, 3, 4]), (3, [2, 4]), (5, [4]), (99, [4])],
)
def test_it_validates_every_n_epochs_and_at_the_end(epochs, expected):
    validated = validations_with(ValidateEvery(epochs=epochs), count=1, epochs=5)
    assert [epoch for epoch, _ in validated] == expected


@pytest.mark.parametrize("handler", [ValidateEvery(steps=9), ValidateEvery(epochs=9)])
def test_the_shortest_fit_is_validated(handler):
    assert validations_with(handler, count=1, epochs=1) == [(0, 1)]


@pytest.mark.parametrize("handler", [ValidateEvery(steps=2), ValidateEvery(epochs=2)])
def test_training_is_bitwise_unchanged(handler):
    plain, other = trainer_of(), trainer_of(handler)
    for trainer in (plain, other):
        trainer.fit(batches(5), batches(2), epochs=3)
    assert equal(weights(plain), weights(other))


def test_training_pauses_inside_the_epoch():
    trace = Trace()
    trainer = trainer_of(ValidateEvery(steps=2), trace)
    trainer.fit(batches(3), batches(1))
    coarse = [s for s in trace.signals if s.endswith(("epoch", "train", "validate"))]
    assert coarse == [
        "begin_epoch",
        "begin_train",
        "after_train",
        "begin_validate",
        "after_validate",
        "begin_train",
        "after_train",
        "begin_validate",
        "after_validate",
        "after_epoch",
    ]


def test_training_does_not_pause_at_the_last_step_of_an_epoch():
    trace = Trace()
    trainer = trainer_of(ValidateEvery(steps=3), trace)
    trainer.fit(batches(3), batches(1), epochs=2)
    assert trace.signals.count("begin_train") == 2
    assert trace.signals.count("begin_validate") == 2


def test_a_loader_without_a_length_has_the_same_validations():
    class Stream:
        def __iter__(self):
            return iter(batches(3))

    trainer = trainer_of(ValidateEvery(steps=3))
    validated = validations(trainer)
    trainer.fit(Stream(), batches(1), epochs=2)
    assert validated == [(0, 3), (1, 6)]


def test_it_counts_optimizer_steps_and_not_batches():
    validated = validations_with(
        ValidateEvery(steps=2), handlers=[GradientAccumulation(2)], count=8, epochs=1
    )
    assert validated == [(0, 2), (0, 4)]


def test_cancelled_steps_cause_no_extra_validation():
    trainer = trainer_of(ValidateEvery(steps=2))

    @trainer.on("begin_step", when=lambda t, state: state.batch_index in (2, 3))
    def cancel(trainer, state):
        raise CancelBatchException

    validated = validations(trainer)
    trainer.fit(batches(5), batches(1), epochs=1)
    assert validated == [(0, 2), (0, 3)]


def test_a_due_validation_runs_after_training_is_cancelled():
    trainer = trainer_of(ValidateEvery(steps=2))
    trainer.on("after_step", when=lambda t, state: state.step == 2)(cancel_training)
    validated = validations(trainer)
    trainer.fit(batches(5), batches(1), epochs=2)
    assert validated == [(0, 2), (1, 4), (1, 6), (1, 7)]


def cancel_training(trainer, state):
    raise CancelTrainException


def test_a_cancelled_validation_is_not_repeated():
    trainer = trainer_of(ValidateEvery(steps=2))
    raise_at(trainer, "begin_batch", CancelValidException)
    validated = validations(trainer)
    trainer.fit(batches(4), batches(1))
    assert validated == [(0, 2), (0, 4)]


def test_without_a_valid_loader_training_is_complete():
    trainer = trainer_of(ValidateEvery(steps=2))
    trainer.fit(batches(5), epochs=2)
    assert (trainer.state.step, trainer.state.phase) == (10, "completed")


def test_an_epoch_that_becomes_the_last_one_is_validated():
    trainer = trainer_of(ValidateEvery(epochs=4))
    validated = validations(trainer)
    trainer.on("begin_epoch", when=lambda t, state: state.epoch == 1)(
        lambda t, state: setattr(state, "n_epochs", 2)
    )
    trainer.fit(batches(1), batches(1), epochs=9)
    assert validated == [(1, 2)]


def test_epochs_without_a_validation_have_no_validation_metrics():
    trainer, names = trainer_of(Metrics(), ValidateEvery(epochs=2)), []
    trainer.on("after_epoch")(lambda t, state: names.append(sorted(state.metrics)))
    trainer.fit(batches(1), batches(1), epochs=4)
    assert names == [["train_loss"], ["train_loss", "valid_loss"]] * 2


@pytest.mark.parametrize("handler", [ValidateEvery(steps=2), ValidateEvery(epochs=2)])
def test_a_second_fit_is_like_the_first(handler):
    trainer = trainer_of(handler)
    validated = validations(trainer)
    for _ in range(2):
        trainer.fit(batches(3), batches(1), epochs=3)
    middle = len(validated) // 2
    assert validated[:middle] == validated[middle:]


def test_validate_between_two_fits_is_not_counted():
    trainer = trainer_of(ValidateEvery(steps=3))
    trainer.fit(batches(2), batches(1))
    trainer.validate(batches(1))
    validated = validations(trainer)
    trainer.fit(batches(2), batches(1))
    assert validated == [(0, 2)]


def test_detached_during_a_fit_epochs_validate_at_their_end_again():
    every = ValidateEvery(steps=1)
    trainer = trainer_of(every)
    validated = validations(trainer)
    trainer.on("after_validate", once=True)(lambda t, state: t.detach(every))
    trainer.fit(batches(3), batches(1), epochs=2)
    assert validated == [(0, 1), (0, 3), (1, 6)]


def test_works_on_a_hand_made_state():
    state = state_of(step=4, epoch=0, n_epochs=3, batch_index=3, n_batches=9, valid_loader=[1])
    every = ValidateEvery(steps=2)
    every.begin_fit(None, state)
    every.after_step(None, state)
    assert state.validate_next
    state.paused = iter(()), 3, 9, None
    every.after_train(None, state)
    assert state.validation_due
    every.after_validate(None, state)
    state.paused, state.validate_next = None, False
    every.after_train(None, state)
    assert not state.validation_due


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({}, TypeError, "give exactly one of the two"),
        ({"steps": 1, "epochs": 1}, TypeError, "give exactly one of the two"),
        ({"steps": 0}, ValueError, r"ValidateEvery\(steps=0\): allowed: an int, from 1"),
        ({"steps": 0.5}, TypeError, r"ValidateEvery\(steps=0.5\): found a float; allowed: "),
        ({"epochs": -1}, ValueError, r"ValidateEvery\(epochs=-1\): allowed: an int, from 1"),
        (
            {"epochs": True},
            TypeError,
            r"ValidateEvery\(epochs=True\): found a bool; allowed: ",
        ),
    ],
)
def test_invalid_arguments_raise(wrong, error, message):
    with pytest.raises(error, match=message):
        ValidateEvery(**wrong)


def test_no_device_sync():
    trainer = trainer_of(ValidateEvery(steps=2), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
def test_the_next_fit_is_complete_after_any_cancel(signal, scope):
    trainer = cancelled_fit(ValidateEvery(steps=2), signal, scope, early=False)
    validated = validations(trainer)
    trainer.fit(batches(3), batches(1), epochs=2)
    assert validated == [(0, 2), (1, 4), (1, 6)]
