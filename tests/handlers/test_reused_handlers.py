"""A handler that has been in the fit of one trainer, used for another one with another model."""

import contextlib
import warnings

import pytest
import resumable
import torch
from helpers import batches, equal, model, raise_at, trainer_of, weights
from torch.amp import GradScaler

from trackside import handlers as h
from trackside.events import CANCELS
from trackside.views.journals.journal_diff import MEASURED

TRACKERS = {"MLflow", "WandB"}
SAYS = {
    "Checkpoint": "contains checkpoints of another fit",
    "Preemption": "contains checkpoints of another fit",
    "Journal": "this Journal writes of another trainer",
    "Recorder": "this Recorder records another trainer",
}
"""Handlers that say that they belong to the other trainer."""
ENDINGS = ["completed", "cancelled", "failed"]


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RESUMABLE_FOLDER", str(tmp_path))


def fitted(job, epochs=2):
    torch.manual_seed(5)
    resumable.random.seed(5)
    resumable.numpy.random.seed(5)
    job.trainer.fit(job.train_loader, job.valid_loader, epochs=epochs)
    state = job.trainer.state
    metrics = {name: float(value) for name, value in state.metrics.items() if name not in MEASURED}
    return {
        "weights": [value.clone() for value in state.model.state_dict().values()],
        "rates": [group["lr"] for group in state.optimizer.param_groups],
        "metrics": metrics,
        "counters": (state.step, state.samples, state.outcome, state.epoch),
    }


def fit_another(name, ending):
    """Fit a trainer with another model, and return it."""
    job = resumable.MAKERS[name]()
    with torch.no_grad():
        for parameter in job.trainer.state.model.parameters():
            parameter.mul_(1.5)
    trainer = job.trainer
    if ending == "cancelled":
        raise_at(trainer, "after_backward", CANCELS["fit"])
    if ending == "failed":
        trainer.on("after_backward", once=True)(fail)
    with contextlib.suppress(LookupError):
        job.trainer.fit(job.train_loader, job.valid_loader, epochs=2)
    return trainer


def fail(trainer, state):
    raise LookupError("the disk is gone")


def reused(name, other, detach):
    """A new trainer and its loaders, with the handlers of another one."""
    job = resumable.MAKERS[name]()
    for handler in job.trainer.handlers:
        job.trainer.detach(handler)
    for handler in [found for found in other.handlers if not callable(found)]:
        if detach:
            other.detach(handler)
        job.trainer.attach(handler)
    return job


TABLE = sorted({*resumable.MAKERS} - TRACKERS - {*SAYS})


def check_like_a_new_one(name, ending, detach):
    expected = fitted(resumable.MAKERS[name]())
    other = fit_another(name, ending)
    with warnings.catch_warnings(action="ignore"):  # EMA says that it found another model
        ours = fitted(reused(name, other, detach))
    check_equal(ours, expected)


def check_equal(ours, expected):
    weights = zip(ours.pop("weights"), expected.pop("weights"), strict=True)
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in weights)
    assert ours == expected


@pytest.mark.parametrize("name", TABLE)
def test_a_handler_of_another_trainer_works_like_a_new_one(name):
    check_like_a_new_one(name, "completed", detach=False)


@pytest.mark.matrix
@pytest.mark.parametrize("detach", [True, False], ids=["detached", "attached to both"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", TABLE)
def test_however_the_other_fit_ended_the_handler_works_like_a_new_one(name, ending, detach):
    check_like_a_new_one(name, ending, detach)


@pytest.mark.parametrize("name", sorted({*TABLE} - {"EMA"}))  # it says that it starts anew
def test_two_trainers_that_take_turns_do_not_mix_what_a_handler_remembers(name):
    with warnings.catch_warnings(action="ignore"):
        alone, shared = resumable.MAKERS[name](), resumable.MAKERS[name]()
        fitted(alone)
        fitted(shared)
        fitted(reused(name, shared.trainer, detach=False))
        check_equal(fitted(shared), fitted(alone))


@pytest.mark.parametrize("name", sorted(SAYS))
def test_a_handler_of_one_trainer_only_says_so(name):
    other = fit_another(name, "completed")
    with pytest.raises(Exception, match=SAYS[name]):
        fitted(reused(name, other, detach=False))


def test_detaching_from_one_of_two_trainers_restores_that_one():
    first = fit_another("WeightDecayGroups", "completed")
    job = reused("WeightDecayGroups", first, detach=False)
    handler = first.handlers[0]
    fitted(job)
    before = group_sizes(job.trainer)
    first.detach(handler)
    assert group_sizes(job.trainer) == before != group_sizes(first)


def test_part_sizes_and_scales_belong_to_the_model_of_a_trainer():
    split, precision = h.SplitOnOutOfMemory(), h.MixedPrecision(torch.float16)
    given = h.MixedPrecision(torch.float16, GradScaler("cpu", init_scale=8.0, growth_interval=1))
    for handlers in ((split, precision), (split, given)):
        trainer_of(*handlers).fit(batches())
    split.train_size = 2
    assert (precision.scaler is None, given.scaler.get_scale()) == (False, 64.0)
    trainer_of(split, precision)
    trainer_of(given)
    assert (split.train_size, precision.scaler, given.scaler.get_scale()) == (None, None, 8.0)


def test_a_checkpoint_of_two_trainers_saves_the_one_that_fits(tmp_path):
    checkpoint = h.Checkpoint(tmp_path, epochs=1)
    first, _ = trainer_of(checkpoint), trainer_of(checkpoint, net=model(1))
    first.fit(batches())
    resumed = trainer_of(h.Checkpoint(tmp_path), net=model(2))
    resumed.fit(batches(), resume=tmp_path)
    assert equal(weights(resumed), weights(first))


def group_sizes(trainer):
    return [len(group["params"]) for group in trainer.state.optimizer.param_groups]
