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
    found = []
    trainer.on("begin_validate")(lambda t, state: found.append((state.epoch, state.step)))
    return found


def found_in(handler, count=4, epochs=3, handlers=()):
    trainer = trainer_of(handler, *handlers)
    found = validations(trainer)
    trainer.fit(batches(count), batches(2), epochs=epochs)
    assert trainer.state.phase == "completed"
    return found


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
def test_every_so_many_steps_and_at_the_end_there_is_a_validation(steps, expected):
    assert found_in(ValidateEvery(steps=steps), count=3, epochs=2) == expected


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(1, [0, 1, 2, 3, 4]), (2, [1, 3, 4]), (3, [2, 4]), (5, [4]), (99, [4])],
)
def test_every_so_many_epochs_and_at_the_end_there_is_a_validation(epochs, expected):
    found = found_in(ValidateEvery(epochs=epochs), count=1, epochs=5)
    assert [epoch for epoch, _ in found] == expected


@pytest.mark.parametrize("handler", [ValidateEvery(steps=9), ValidateEvery(epochs=9)])
def test_the_shortest_fit_is_validated(handler):
    assert found_in(handler, count=1, epochs=1) == [(0, 1)]


@pytest.mark.parametrize("handler", [ValidateEvery(steps=2), ValidateEvery(epochs=2)])
def test_training_is_the_same_bit_for_bit(handler):
    plain, other = trainer_of(), trainer_of(handler)
    for trainer in (plain, other):
        trainer.fit(batches(5), batches(2), epochs=3)
    assert equal(weights(plain), weights(other))


def test_a_pause_is_in_the_middle_of_an_epoch_and_no_epoch_of_its_own():
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


def test_at_the_last_step_of_an_epoch_there_is_no_pause_but_its_end():
    trace = Trace()
    trainer = trainer_of(ValidateEvery(steps=3), trace)
    trainer.fit(batches(3), batches(1), epochs=2)
    assert trace.signals.count("begin_train") == 2
    assert trace.signals.count("begin_validate") == 2


def test_a_loader_without_a_length_is_validated_as_often():
    class Stream:
        def __iter__(self):
            return iter(batches(3))

    trainer = trainer_of(ValidateEvery(steps=3))
    found = validations(trainer)
    trainer.fit(Stream(), batches(1), epochs=2)
    assert found == [(0, 3), (1, 6)]


def test_steps_are_updates_and_not_batches():
    found = found_in(ValidateEvery(steps=2), handlers=[GradientAccumulation(2)], count=8, epochs=1)
    assert found == [(0, 2), (0, 4)]


def test_what_was_not_made_brings_no_validation_of_its_own():
    trainer = trainer_of(ValidateEvery(steps=2))

    @trainer.on("begin_step", when=lambda t, state: state.batch_index in (2, 3))
    def cancel(trainer, state):
        raise CancelBatchException

    found = validations(trainer)
    trainer.fit(batches(5), batches(1), epochs=1)
    assert found == [(0, 2), (0, 3)]


def test_a_training_that_is_cancelled_when_a_validation_is_due_is_followed_by_it():
    trainer = trainer_of(ValidateEvery(steps=2))
    trainer.on("after_step", when=lambda t, state: state.step == 2)(cancel_training)
    found = validations(trainer)
    trainer.fit(batches(5), batches(1), epochs=2)
    assert found == [(0, 2), (1, 4), (1, 6), (1, 7)]


def cancel_training(trainer, state):
    raise CancelTrainException


def test_a_validation_that_is_cancelled_is_not_made_again():
    trainer = trainer_of(ValidateEvery(steps=2))
    raise_at(trainer, "begin_batch", CancelValidException)
    found = validations(trainer)
    trainer.fit(batches(4), batches(1))
    assert found == [(0, 2), (0, 4)]


def test_without_a_loader_for_it_training_is_whole():
    trainer = trainer_of(ValidateEvery(steps=2))
    trainer.fit(batches(5), epochs=2)
    assert (trainer.state.step, trainer.state.phase) == (10, "completed")


def test_an_epoch_that_becomes_the_last_is_validated():
    trainer = trainer_of(ValidateEvery(epochs=4))
    found = validations(trainer)
    trainer.on("begin_epoch", when=lambda t, state: state.epoch == 1)(
        lambda t, state: setattr(state, "n_epochs", 2)
    )
    trainer.fit(batches(1), batches(1), epochs=9)
    assert found == [(1, 2)]


def test_epochs_without_a_validation_have_no_metric_of_it():
    trainer, found = trainer_of(Metrics(), ValidateEvery(epochs=2)), []
    trainer.on("after_epoch")(lambda t, state: found.append(sorted(state.metrics)))
    trainer.fit(batches(1), batches(1), epochs=4)
    assert found == [["train_loss"], ["train_loss", "valid_loss"]] * 2


@pytest.mark.parametrize("handler", [ValidateEvery(steps=2), ValidateEvery(epochs=2)])
def test_a_second_fit_is_like_the_first(handler):
    trainer = trainer_of(handler)
    found = validations(trainer)
    for _ in range(2):
        trainer.fit(batches(3), batches(1), epochs=3)
    middle = len(found) // 2
    assert found[:middle] == found[middle:]


def test_validate_between_two_fits_counts_for_neither():
    trainer = trainer_of(ValidateEvery(steps=3))
    trainer.fit(batches(2), batches(1))
    trainer.validate(batches(1))
    found = validations(trainer)
    trainer.fit(batches(2), batches(1))
    assert found == [(0, 2)]


def test_detached_in_a_fit_it_leaves_validations_to_the_ends_of_the_epochs():
    every = ValidateEvery(steps=1)
    trainer = trainer_of(every)
    found = validations(trainer)
    trainer.on("after_validate", once=True)(lambda t, state: t.detach(every))
    trainer.fit(batches(3), batches(1), epochs=2)
    assert found == [(0, 1), (0, 3), (1, 6)]


def test_a_hand_made_state_is_enough():
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
def test_a_wrong_argument_is_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        ValidateEvery(**wrong)


def test_no_value_is_read_on_a_device():
    trainer = trainer_of(ValidateEvery(steps=2), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


@every_cancel
def test_whatever_is_cancelled_the_next_fit_is_whole(signal, scope):
    trainer = cancelled_fit(ValidateEvery(steps=2), signal, scope, early=False)
    found = validations(trainer)
    trainer.fit(batches(3), batches(1), epochs=2)
    assert found == [(0, 2), (1, 4), (1, 6)]
