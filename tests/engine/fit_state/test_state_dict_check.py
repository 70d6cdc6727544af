"""A value that a fit cannot have had is refused, not believed; the older checkpoint is found."""

import copy

import pytest
import torch
from helpers import batches, equal, trainer_of, weights

from trackside.engine import CheckpointError, CheckpointStore, DamagedError, ResumeError
from trackside.engine.fit_state.state_dict_check import check_values
from trackside.handlers import History


def saved_fit(epochs=2):
    trainer = trainer_of(History())
    for transition in trainer.steps(batches(3), batches(2), epochs):
        if transition.trigger == "after_batch":
            return copy.deepcopy(trainer.state_dict())
    raise AssertionError("no batch was trained")


def changed(path, value):
    state = saved_fit()
    *parents, last = path
    place = state
    for name in parents:
        place = place[name]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return state


MISSING = object()
INFINITY, NAN = float("inf"), float("nan")
COUNTERS = ("epoch", "batch_index", "step", "samples", "n_epochs")
WRONG = [
    *(
        (("position", name), value)
        for name in COUNTERS
        for value in (-2, 1 << 60, INFINITY, "1", 1.0)
    ),
    *((("position", name), value) for name in COUNTERS for value in (None, True, [], MISSING)),
    *((("position", "n_batches"), value) for value in (-1, INFINITY, "3", MISSING)),
    *((("position", "training"), value) for value in (1, None, "yes", MISSING)),
    *((("position", "metrics"), value) for value in ([], None, "x", {1: 2}, MISSING)),
    *((("position", "notes"), value) for value in ([], MISSING)),
    *((("position", "modes"), value) for value in ("0", [1], MISSING)),
    *((("position", "asked", "n_epochs"), value) for value in (-1, NAN, MISSING)),
    *(((name,), value) for name in saved_fit() for value in (MISSING, 7, "x") if name != "format"),
    (("phase",), "fit.nowhere"),
    (("phase",), "fit.epoch.train.batch.forward"),
    (("phase",), "fit.failing"),
    (("phase",), "fit." * 1000),
    (("position", "epoch"), -1),
    (("loaders",), None),
    (("loaders", "open"), 1),
    (("loaders", "paused"), [0, 1]),
    (("loaders", "paused"), [0, 1, {}]),
    (("loaders", "tells"), {}),
    (("gradients",), {"0.weight": torch.ones(7)}),
    (("optimizer", "param_groups"), [{}]),
    (("optimizer", "state"), []),
    (("heard", "counts"), {"f": -1}),
    (("generators", "python"), (3, b"", None)),
    (("generators", "python"), (3, b"\0" * 2499, None)),
    (("generators", "torch"), torch.zeros(7, dtype=torch.uint8)),
    (("generators", "numpy", "state", "pos"), 1 << 30),
    (("generators", "numpy", "state", "pos"), -1),
    (("generators", "numpy", "state", "key"), b"\0" * 8),
    (("generators", "own"), {"x": 1}),
    (("format",), MISSING),
    (("format",), True),
    (("format",), -1),
]
wrong = pytest.mark.parametrize(("path", "value"), WRONG)


@wrong
def test_a_wrong_value_is_refused_and_nothing_is_changed(path, value):
    trainer = trainer_of(History())
    before, heard = weights(trainer), []
    trainer.on("resumed")(lambda trainer, state: heard.append(1))
    with pytest.raises(ResumeError):
        trainer.fit(batches(3), batches(2), resume=changed(path, value))
    assert heard == []
    assert equal(weights(trainer), before)


def test_what_a_fit_saves_at_any_boundary_is_accepted():
    trainer = trainer_of(History())
    check_values(trainer.state_dict())
    for _ in trainer.steps(batches(3), batches(2), 2):
        if trainer.state.at_boundary:
            check_values(trainer.state_dict())
    check_values(trainer.state_dict())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("loaders", "paused"), [-1, None, None]),
        (("loaders", "paused"), [0, 0, None]),
        (("position", "batches_found"), [0, 1]),
        (("position", "batches_found"), [None, 1]),
        (("position", "asked", "seed"), (1 << 63) - 1),
        (("position", "asked", "batches_per_epoch"), 1),
        (("position", "batches_per_epoch"), 1),
    ],
)
def test_the_least_that_a_fit_can_have_saved_is_accepted(path, value):
    check_values(changed(path, value))


@pytest.mark.parametrize("name", ["tokens", "batches_found"])
def test_what_an_older_version_did_not_save_may_be_missing(name):
    check_values(changed(("position", name), MISSING))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("loaders", "paused"), [-2, 1, None]),
        (("loaders", "paused"), [0, -1, None]),
        (("loaders", "paused"), [0, 1, None, None]),
        (("loaders", "paused"), [0, 1, [1]]),
        (("position", "batches_found"), [-1, 1]),
        (("position", "batches_found"), [0, 0]),
        (("position", "batches_found"), [0, 1, 2]),
        (("position", "asked", "seed"), 1 << 63),
        (("position", "asked", "batches_per_epoch"), 0),
        (("position", "batches_per_epoch"), 0),
    ],
)
def test_one_less_or_more_than_a_fit_can_have_saved_is_refused(path, value):
    with pytest.raises(ResumeError):
        trainer_of(History()).fit(batches(3), batches(2), resume=changed(path, value))


@pytest.fixture
def store(tmp_path):
    store = CheckpointStore(tmp_path)
    store.open()
    store.save(saved_fit(), 1, {})
    yield store
    store.close()


OF_FILES = [
    (path, value)
    for path, value in WRONG
    if path[0] in ("position", "generators", "heard") and (path[-1], value) != ("epoch", -1)
]
"""What is wrong in every phase: outside of an epoch, epoch -1 is right."""


@pytest.mark.parametrize(("path", "value"), OF_FILES)
def test_the_older_checkpoint_is_found_if_the_newest_has_a_wrong_value(store, path, value):
    state = changed(path, value)
    newest = store.save(state, 2, {})
    with pytest.raises(DamagedError, match="step-000000000002: refused"):
        trainer_of(History()).fit(batches(3), batches(2), resume=newest)
    with pytest.warns(UserWarning, match="skipping a damaged checkpoint.*step-000000000002"):
        resumed = trainer_of(History()).fit(batches(3), batches(2), resume=store.folder)
    assert resumed.outcome == "completed"


def test_if_all_have_wrong_values_that_is_one_error(tmp_path):
    store = CheckpointStore(tmp_path)
    store.open()
    store.save(changed(("position", "step"), -1), 1, {})
    with pytest.warns(UserWarning, match="skipping"), pytest.raises(CheckpointError, match="every"):
        trainer_of(History()).fit(batches(3), batches(2), resume=tmp_path)
    store.close()


def test_a_loader_with_fewer_batches_than_were_read_is_refused():
    trainer = trainer_of()
    for transition in trainer.steps(batches(5)):
        if transition.trigger == "after_batch" and trainer.state.batch_index == 3:
            state = copy.deepcopy(trainer.state_dict())
    with pytest.raises(ValueError, match="it has 2 batches, and the saved fit had read 4"):
        trainer_of().fit(batches(2), resume=state)


def test_an_endless_loader_is_not_read_up_to_an_absurd_index():
    def endless():
        while True:
            yield from batches(3)

    trainer = trainer_of()
    for transition in trainer.steps(endless(), None, 2, batches_per_epoch=3):
        if transition.trigger == "after_batch":
            state = copy.deepcopy(trainer.state_dict())
            break
    state["position"]["batch_index"] = 1 << 40
    with pytest.raises(ResumeError, match="batch_index is 1099511627776 of 3 batches"):
        trainer_of().fit(endless(), resume=state)


def test_optimizers_that_are_no_dict_are_refused():
    with pytest.raises(ValueError, match=r"optimizers is .* in the state dict, which no fit has"):
        check_values({**saved_fit(), "optimizers": [1]})


def test_a_state_without_numpy_is_one():
    state = saved_fit()
    state["generators"]["numpy"] = None
    check_values(state)


@pytest.mark.parametrize(("value", "shown"), [("x", "is 'x'"), ([1], "is a list")])
def test_a_wrong_value_is_shown_or_if_it_may_be_long_its_type(value, shown):
    with pytest.raises(ValueError, match=f"step {shown} in the state dict"):
        check_values(changed(("position", "step"), value))
