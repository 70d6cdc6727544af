import itertools

import pytest
from helpers import batches, state_of, trainer_of

from trackside.events.progress import Progress, batches_in_pass
from trackside.handlers import GradientAccumulation, StepLimit

TRAINING = "fit.epoch.train.batch.forward"


@pytest.mark.parametrize(
    ("phase", "fields", "made"),
    [
        ("fit.ready", {"epoch": -1}, 0),
        ("fit.epoch.ready", {"epoch": 0}, 0),
        ("fit.epoch.train.fetch", {"epoch": 0, "batch_index": -1}, 0),
        (TRAINING, {"epoch": 0, "batch_index": 0}, 0),
        (TRAINING, {"epoch": 2, "batch_index": 1}, 2.25),
        ("fit.epoch.train.fetch", {"epoch": 2, "batch_index": 1}, 2.5),
        ("fit.epoch.train.batch.ready", {"epoch": 2, "batch_index": 1}, 2.25),
        ("fit.epoch.validate.batch.loss", {"epoch": 2, "batch_index": 1, "training": False}, 3),
        ("fit.ready", {"epoch": 2, "batch_index": 3}, 3),
        ("completed", {"epoch": 2, "batch_index": 3}, 3),
    ],
)
def test_epochs_made_include_the_fraction_of_the_current_training(phase, fields, made):
    fields = {"training": True, "n_batches": 4, **fields}
    assert state_of(phase=phase, **fields).progress("epochs").done == made


def test_a_validation_inside_training_counts_the_paused_training():
    trainer, made = trainer_of(), []

    @trainer.on("after_batch", when=lambda trainer, state: state.training)
    def validate_after_the_second_batch(trainer, state):
        state.validate_next = state.batch_index == 1

    trainer.on("begin_validate")(lambda trainer, state: made.append(state.progress("epochs").done))
    trainer.fit(batches(4), batches(8), epochs=2)
    assert made == [0.5, 1, 1.5, 2]


def test_without_a_length_whole_epochs_are_made_until_one_has_been_counted():
    state = state_of(phase=TRAINING, epoch=1, batch_index=3, training=True, n_epochs=4)
    assert state.progress() == Progress(1, 4, "epochs")
    state.batches_found = None, 8
    assert state.progress() == Progress(11, 32, "batches")


def test_a_limit_of_steps_tells_the_batches_of_an_endless_pass():
    trainer, seen = trainer_of(StepLimit(3), GradientAccumulation(2)), []

    @trainer.on("begin_batch")
    def look(trainer, state):
        seen.append((state.progress("batches"), batches_in_pass(state)))

    trainer.fit(itertools.cycle(batches(2)))
    assert seen == [(Progress(done, 6, "batches"), 6) for done in range(6)]


@pytest.mark.parametrize(("steps", "expected"), [(7, [4, 3]), (9, [4, 4, 1]), (99, [4, 4, 4])])
def test_the_batches_of_a_pass_are_fewer_where_a_limit_ends_the_fit(steps, expected):
    trainer, seen = trainer_of(StepLimit(steps)), []
    trainer.on("begin_batch")(lambda trainer, state: seen.append(batches_in_pass(state)))
    trainer.fit(batches(4), epochs=3)
    assert seen == [count for count in expected for _ in range(count)]
