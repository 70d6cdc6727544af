"""Evaluations by name: several validation sets in a fit, and `validate` beside a fit."""

import io

import pytest
import torch
from helpers import Trace, batches, trainer_of, weights

from trackside.engine import BusyError, KeyedLoader, ResumeError
from trackside.events import CancelValidException
from trackside.handlers import EarlyStopping, History, JSONLines, Metrics, ValidateEvery
from trackside.views.verify.state_diff import fingerprints, first_difference


def copied(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def sets():
    return {"easy": batches(1, seed=2), "hard": batches(2, seed=3)}


def test_each_validation_loader_has_metrics_of_its_name():
    history = History()
    trainer = trainer_of(Metrics(), history)
    state = trainer.fit(batches(2), sets(), epochs=2)
    alone = trainer.validate(sets()["hard"])["valid_loss"]
    assert {"train_loss", "easy_loss", "hard_loss"} == set(state.metrics)
    assert state.metrics["hard_loss"] == pytest.approx(alone)
    assert [set(row) >= {"easy_loss", "hard_loss"} for row in history.rows] == [True, True]


def test_validations_follow_each_other_with_their_own_signals():
    trace, names = Trace(), []
    trainer = trainer_of(trace)
    trainer.on("begin_validate")(lambda t, state: names.append(state.evaluation))
    trainer.fit(batches(1), sets())
    assert names == ["easy", "hard"]
    assert trace.signals.count("after_validate") == 2


def test_a_cancel_closes_one_validation_and_the_next_one_runs():
    trainer = trainer_of(Metrics())

    @trainer.on("begin_batch")
    def cancel(trainer, state):
        if not state.training and state.evaluation == "easy":
            raise CancelValidException("too easy")

    state = trainer.fit(batches(1), sets())
    assert "hard_loss" in state.metrics
    assert "easy_loss" not in state.metrics


def test_training_resumes_after_all_validations_within_an_epoch():
    trainer = trainer_of(Metrics(), ValidateEvery(steps=2))
    plain = trainer_of(Metrics())
    state = trainer.fit(batches(5), sets())
    assert state.metrics["train_loss"] == plain.fit(batches(5)).metrics["train_loss"]
    assert all(map(torch.equal, weights(trainer), weights(plain)))


def test_a_judge_takes_the_metric_of_one_of_the_sets():
    trainer = trainer_of(Metrics(), EarlyStopping("hard_loss", patience=1, min_delta=100))
    assert trainer.fit(batches(1), sets(), epochs=5).epoch == 1


@pytest.mark.parametrize("kind", [list, lambda data: KeyedLoader(data, 2, shuffle=True, seed=1)])
def test_a_fit_resumes_in_any_of_its_validations(kind):
    points = [(torch.randn(5), torch.tensor(n % 3)) for n in range(5)]

    def loaders():
        if kind is list:
            return sets()
        return {"easy": kind(points), "hard": kind(points[:3])}

    def steps(trainer, **options):
        return trainer.steps(batches(2), loaders(), 2, **options)

    whole, saved = trainer_of(Metrics(), History()), []
    for _ in steps(whole):
        if whole.state.at_boundary and "." in whole.state.phase:
            saved.append(copied(whole.state_dict()))
    end = fingerprints(whole.state_dict())
    for state in saved:
        rest = trainer_of(Metrics(), History())
        for _ in steps(rest, resume=state):
            pass
        assert first_difference(end, fingerprints(rest.state_dict())) == "", state["phase"]


def test_a_resume_with_other_names_is_refused():
    trainer = trainer_of()
    run = trainer.steps(batches(2), sets())
    saved = next(trainer.state_dict() for t in run if t.trigger == "begin_validate")
    run.close()
    with pytest.raises(ResumeError, match="easy, new: the fit was saved with easy, hard"):
        trainer_of().fit(batches(2), {"easy": batches(1), "new": batches(1)}, resume=saved)


@pytest.mark.parametrize(
    ("loaders", "error", "text"),
    [
        ({"train": batches(1)}, ValueError, "the name 'train'; allowed"),
        ({"": batches(1)}, ValueError, "the name ''; allowed"),
        ({1: batches(1)}, TypeError, "the name 1 is a int"),
        ({"easy": None}, TypeError, r"valid_loader\['easy'\] is a NoneType"),
    ],
)
def test_a_wrong_name_or_loader_is_refused(loaders, error, text):
    with pytest.raises(error, match=text):
        trainer_of().fit(batches(1), loaders)


def test_a_named_evaluation_is_kept_and_logged_beside_the_fit(tmp_path):
    history, path = History(), tmp_path / "log.jsonl"
    trainer = trainer_of(Metrics(), history, JSONLines(path))
    fitted = dict(trainer.fit(batches(2), batches(1)).metrics)
    result = trainer.validate(batches(1, seed=9), name="test")
    assert list(result) == ["test_loss"]
    assert trainer.state.metrics == {**fitted, **result}
    assert history.rows[-1]["test_loss"] == result["test_loss"]
    assert len(history.rows) == 1
    assert '"test_loss"' in path.read_text().splitlines()[-1]
    assert '"fit": 0' in path.read_text().splitlines()[-1]


def test_validate_keeps_the_outcome_cancel_and_metrics_of_the_fit():
    trainer = trainer_of(Metrics(), EarlyStopping(patience=1, min_delta=100))
    state = trainer.fit(batches(2), batches(1), epochs=5)
    cancel, metrics = state.cancel, dict(state.metrics)
    assert state.outcome == "cancelled"
    trainer.validate(batches(1, seed=9))
    assert (state.outcome, state.cancel, dict(state.metrics)) == ("cancelled", cancel, metrics)


def test_validate_in_a_handler_is_refused_and_leaves_the_live_phase():
    trainer, phases = trainer_of(), []

    @trainer.on("after_train")
    def validate(trainer, state):
        with pytest.raises(BusyError):
            trainer.validate(batches(1))
        phases.append(state.phase)

    assert trainer.fit(batches(1)).outcome == "completed"
    assert phases == ["fit.epoch.trained"]


@pytest.mark.parametrize("name", ["train", "", 3])
def test_an_evaluation_cannot_have_a_name_that_is_no_prefix_of_its_own(name):
    with pytest.raises((TypeError, ValueError), match=r"validate\(name="):
        trainer_of().validate(batches(1), name=name)
