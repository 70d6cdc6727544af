import itertools

import pytest
from helpers import batches, state_of, trainer_of

from trackside.events.progress import (
    Progress,
    batches_in_pass,
    is_last_batch,
    is_last_round,
    limit_progress,
    planned_steps,
)
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


def fit_at(**fields):
    """A fit in the second batch of the second of three epochs, which have four batches each."""
    second = {"epoch": 1, "n_epochs": 3, "batch_index": 1, "n_batches": 4, "step": 5}
    return state_of(
        **{"phase": TRAINING, "training": True, "train_loader": range(4), **second, **fields}
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [(1.25, 3, "epochs"), (5, 12, "batches"), (5, 12, "steps")]),
        ({"step": 3}, [(3, 10, "steps")]),
        ({"optimizers": {"": None}}, [(5, 12, "steps")]),
        ({"n_epochs": 1, "epoch": 0}, [(1, 4, "batches")]),
        ({"round_scope": None}, [(0.25, 1, "epochs"), (1, 4, "batches")]),
        ({"batches_per_epoch": 2}, [(1.5, 3, "epochs"), (3, 6, "batches")]),
        ({"batches_found": (4, 3)}, [(4, 9, "batches")]),
        ({"batches_found": (9, 3)}, [(5, 12, "batches")]),
    ],
)
def test_a_fit_is_counted_in_each_unit(fields, expected):
    assert [fit_at(**fields).progress(unit) for _, _, unit in expected] == [
        Progress(*each) for each in expected
    ]


@pytest.mark.parametrize(
    ("limit", "fields", "batches_in_all", "epochs", "steps"),
    [
        (8, {}, 8, 2, 8),
        (9, {}, 9, 3, 9),
        (99, {}, 12, 3, 12),
        (5, {}, 5, 2, 5),
        (4, {}, 5, 2, 4),
        (7.5, {}, 8, 2, 7.5),
        (7, {"batches_per_step": 3, "step": 2}, 12, 3, 6),
        (4, {"batches_per_step": 3, "step": 2}, 8, 2, 4),
        (6, {"optimizers": {"a": None, "b": None}}, 12, 3, 6),
    ],
)
def test_a_limit_of_steps_shortens_the_batches_and_epochs(
    limit, fields, batches_in_all, epochs, steps
):
    state = fit_at(limits={"steps": limit}, **fields)
    totals = [state.progress(unit).total for unit in ("batches", "epochs", "steps")]
    assert totals == [batches_in_all, epochs, steps]


def test_steps_of_an_incomplete_last_window_are_counted():
    state = fit_at(train_loader=range(5), n_batches=5, batch_index=3, batches_per_step=2)
    assert planned_steps(state) == Progress(4, 9, "steps")
    state.phase, state.batch_index = "fit.epoch.train.fetch", 4
    assert planned_steps(state) == Progress(6, 9, "steps")


def test_the_steps_of_several_optimizers_are_planned_by_name():
    state = fit_at(batches_per_step_of={"critic": 1, "generator": 4})
    assert planned_steps(state, "critic").total == 12
    assert planned_steps(state, "generator") == Progress(1, 3, "steps")


def test_without_a_length_only_the_steps_of_this_epoch_are_known():
    state = fit_at(train_loader=iter(()), n_batches=None, batch_index=5, batches_per_step=2)
    assert planned_steps(state) == Progress(2, None, "steps")
    assert state.progress("steps") == Progress(5, None, "steps")
    assert state.progress("batches") == Progress(5, None, "batches")
    assert state.progress() == Progress(1, 3, "epochs")


def test_without_a_length_that_of_the_open_pass_is_planned():
    unknown = {"train_loader": iter(())}
    assert fit_at(**unknown).progress("batches") == Progress(5, 12, "batches")
    validation = {"phase": "fit.epoch.validate.fetch", "training": False, "n_batches": 9}
    paused = fit_at(**unknown, **validation, paused=(None, 1, 4, None))
    assert paused.progress("batches") == Progress(6, 12, "batches")
    assert fit_at(**unknown, **validation).progress("batches") == Progress(0, None, "batches")


def test_a_loader_that_is_longer_than_it_told_stays_in_its_epoch():
    assert fit_at(batch_index=7).progress("batches") == Progress(7, 12, "batches")
    after = fit_at(batch_index=7, phase="fit.epoch.train.fetch")
    assert after.progress("batches") == Progress(8, 12, "batches")
    assert fit_at(train_loader=(), batch_index=2).progress("batches").done == 0


@pytest.mark.parametrize(
    ("unit", "fields", "done"),
    [
        ("samples", {"samples": 32}, 32),
        ("tokens", {"tokens": 700}, 700),
        ("seconds", {}, 0.0),
        ("seconds", {"elapsed": lambda: 7.5}, 7.5),
    ],
)
def test_what_has_no_plan_has_the_total_of_its_limit(unit, fields, done):
    assert fit_at(**fields).progress(unit) == Progress(done, None, unit)
    limited = fit_at(limits={unit: 1000}, **fields)
    assert limited.progress(unit) == Progress(done, 1000, unit)


def test_the_limit_nearest_to_its_end_is_the_progress():
    state = fit_at(limits={"samples": 40, "steps": 100, "epochs": 2}, samples=10)
    assert list(limit_progress(state)) == [
        Progress(10, 40, "samples"),
        Progress(5, 100, "steps"),
        Progress(1.25, 2, "epochs"),
    ]
    assert state.progress() == Progress(1.25, 2, "epochs")
    state.samples = 39
    assert state.progress() == Progress(39, 40, "samples")
    state.limits.clear()
    assert state.progress() == Progress(5, 12, "batches")


def test_a_limit_is_the_progress_where_the_epochs_have_no_known_end():
    state = fit_at(train_loader=iter(()), n_batches=None, limits={"steps": 100})
    assert state.progress() == Progress(5, 100, "steps")


def test_a_misspelt_unit_is_refused_with_the_most_similar_one():
    with pytest.raises(ValueError, match=r"progress\('epoch'\).*did you mean epochs\?; allowed"):
        fit_at().progress("epoch")


@pytest.mark.parametrize(
    ("done", "total", "fraction", "left"),
    [(1, 4, 0.25, 3), (5, 4, 1.0, 0), (0, 0, 1.0, 0), (3, None, None, None)],
)
def test_a_share_is_at_most_1_and_what_is_left_at_least_0(done, total, fraction, left):
    progress = Progress(done, total, "steps")
    assert (progress.fraction, progress.left) == (fraction, left)


def test_the_last_epoch_and_batch_are_known():
    assert [is_last_round(fit_at(epoch=epoch)) for epoch in (1, 2, 3)] == [False, True, True]
    assert is_last_round(fit_at(epoch=0, round_scope=None))
    assert [is_last_batch(fit_at(batch_index=index)) for index in (2, 3)] == [False, True]
    assert not is_last_batch(fit_at(n_batches=None))


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 4),
        ({"n_batches": None}, 8),
        ({"limits": {"steps": 7}}, 3),
        ({"limits": {"steps": 7}, "phase": "fit.epoch.train.fetch", "step": 6}, 3),
        ({"n_batches": None, "train_loader": iter(())}, None),
    ],
)
def test_a_pass_has_the_batches_of_its_loader_or_up_to_the_limit(fields, count):
    assert batches_in_pass(fit_at(**fields)) == count
