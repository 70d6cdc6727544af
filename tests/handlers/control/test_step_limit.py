import pytest
from helpers import (
    Trace,
    batches,
    cancelled_fit,
    equal,
    every_cancel,
    model,
    state_of,
    trainer_of,
    weights,
)

from trackside.events import CancelBatchException, CancelEpochException, CancelStepException
from trackside.handlers.control.step_limit import StepLimit
from trackside.handlers.control.validate_every import ValidateEvery
from trackside.handlers.logging.history import History
from trackside.handlers.logging.metrics import Metrics
from trackside.handlers.optimization.gradient_accumulation import GradientAccumulation


@pytest.mark.parametrize(
    ("steps", "expected", "epochs"),
    [(1, 1, 1), (4, 4, 1), (5, 5, 1), (6, 6, 2), (10, 10, 2), (99, 15, 3)],
)
def test_the_fit_ends_after_the_given_steps(steps, expected, epochs):
    history = History()
    trainer = trainer_of(StepLimit(steps), history)
    trainer.fit(batches(5), epochs=3)
    assert (trainer.state.step, trainer.state.phase) == (expected, "completed")
    assert len(history.rows) == epochs


def test_training_equals_the_same_batches_bit_for_bit():
    limited, short = trainer_of(StepLimit(7)), trainer_of()
    limited.fit(batches(5), epochs=3)
    short.fit([*batches(5), *batches(5)[:2]])
    assert equal(weights(limited), weights(short))


def test_the_last_epoch_has_metrics_and_validation_and_no_cancel():
    history, trace = History(), Trace()
    trainer = trainer_of(StepLimit(7), Metrics(), history, trace)
    trainer.fit(batches(5), batches(2), epochs=3)
    assert not [signal for signal in trace.signals if "cancel" in signal]
    assert [row["outcome"] for row in history.rows] == ["completed"] * 2
    assert [row["samples"] for row in history.rows] == [20, 28]
    assert all({"train_loss", "valid_loss"} <= row.keys() for row in history.rows)


def test_no_batch_is_fetched_after_the_last_step():
    read = []

    class Reading:
        def __iter__(self):
            for batch in batches(5):
                read.append(batch)
                yield batch

    trainer_of(StepLimit(3)).fit(Reading(), epochs=2)
    assert len(read) == 3


def test_an_iterator_continues_in_the_next_fit():
    data, targets = batches(6), []
    loader = iter(data)
    trainer = trainer_of(StepLimit(3))
    trainer.on("begin_batch")(lambda t, state: targets.append(state.yb))
    for _ in range(2):
        trainer.fit(loader, epochs=9, batches_per_epoch=2)
    assert equal(targets, [y for _, y in data])


def test_it_counts_optimizer_steps_and_not_batches():
    trainer = trainer_of(StepLimit(3), GradientAccumulation(2))
    trainer.fit(batches(8), epochs=3)
    assert (trainer.state.step, trainer.state.samples) == (3, 24)


def test_cancelled_steps_do_not_count():
    trainer = trainer_of(StepLimit(3))

    @trainer.on("begin_step", when=lambda t, state: state.batch_index == 1)
    def cancel(trainer, state):
        raise CancelStepException

    trainer.fit(batches(5), epochs=3)
    assert (trainer.state.step, trainer.state.samples) == (3, 16)


@pytest.mark.parametrize("cancel", [CancelBatchException, CancelEpochException])
def test_a_batch_cancelled_after_the_last_step_is_the_last(cancel):
    trainer = trainer_of(StepLimit(2))

    @trainer.on("after_step", when=lambda t, state: state.step == 2)
    def cancel_it(trainer, state):
        raise cancel

    trainer.fit(batches(5), epochs=3)
    assert (trainer.state.step, trainer.state.epoch) == (2, 0)
    assert trainer.state.phase == "completed"


@pytest.mark.parametrize("last", [True, False])
def test_with_validate_every_the_last_weights_are_validated_once(last):
    handlers = [StepLimit(4), ValidateEvery(steps=2)]
    trainer = trainer_of(*reversed(handlers) if last else handlers)
    validated = []
    trainer.on("begin_validate")(lambda t, state: validated.append(state.step))
    trainer.fit(batches(5), batches(1), epochs=3)
    assert validated == [2, 4]


def test_each_fit_has_the_full_limit():
    trainer = trainer_of(StepLimit(3))
    for _ in range(2):
        trainer.fit(batches(2), epochs=9)
        trainer.validate(batches(2))
        assert trainer.state.step == 3


def test_the_limit_is_set_for_schedules_and_reset_after_the_fit():
    trainer, seen = trainer_of(StepLimit(3)), []
    trainer.on("begin_epoch")(lambda t, state: seen.append(dict(state.limits)))
    trainer.fit(batches(2))
    assert seen == [{"steps": 3}]
    assert trainer.state.limits == {}


def test_detached_during_a_fit_it_removes_the_limit():
    limit = StepLimit(2)
    trainer = trainer_of(limit)
    trainer.on("after_batch", once=True)(lambda t, state: t.detach(limit))
    trainer.fit(batches(3))
    assert trainer.state.step == 3
    assert trainer.state.limits == {}


def test_attached_during_a_fit_it_ends_the_fit():
    trainer = trainer_of()
    trainer.on("after_batch", once=True)(lambda t, state: t.attach(StepLimit(2)))
    trainer.fit(batches(5), epochs=3)
    assert trainer.state.step == 2


def test_works_on_a_hand_made_state():
    state = state_of(step=2, training=True, epoch=1, n_epochs=9, batch_index=3, n_batches=None)
    StepLimit(3).after_batch(None, state)
    assert state.n_epochs == 9
    StepLimit(2).after_batch(None, state)
    assert (state.n_epochs, state.n_batches, list(state.batches)) == (2, 4, [])


@pytest.mark.parametrize(("steps", "error"), [(0, ValueError), (1.0, TypeError), (True, TypeError)])
def test_wrong_limits_are_refused(steps, error):
    with pytest.raises(error, match=r"StepLimit\(.*\): (found a \w+; )?allowed: an int, from 1"):
        StepLimit(steps)


def test_no_device_sync():
    trainer = trainer_of(StepLimit(4), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 4


@every_cancel
def test_the_limit_holds_after_any_cancel_and_in_the_next_fit(signal, scope):
    trainer = cancelled_fit(StepLimit(5), signal, scope, early=False)
    assert trainer.state.step <= 5
    assert trainer.state.notes == {}
    trainer.fit(batches(3), epochs=3)
    assert (trainer.state.step, trainer.state.phase) == (5, "completed")
