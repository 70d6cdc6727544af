import json

import pytest
from studied import Noise, job

from trackside import EMA, CancelFitException, Checkpoint, CSVLogger, GradientClip, Metrics
from trackside.views.jobs.named_job import JobSource
from trackside.views.studies.trial import run_trial
from trackside.views.studies.trial_result import Trial


def run(factory=job, without=(), metric="valid_loss", seed=0, epochs=None, **arguments):
    trial = Trial(without, tuple(arguments.items()), seed)
    return run_trial(JobSource(factory, "jobs:f"), trial, metric, epochs)


def test_a_trial_keeps_a_row_an_epoch_its_facts_and_its_times():
    result = run()
    assert (result["outcome"], result["reason"], result["error"]) == ("completed", "", "")
    assert [row["epoch"] for row in result["rows"]] == [0, 1]
    assert result["rows"][-1]["valid_loss"] > 0
    assert result["facts"]["arguments"] == {"seed": 0}
    assert result["facts"]["seed"] == 0
    assert result["seconds"] > 0
    assert {*result["costs"]} == {"Noise", "Halves", "GradientClip", "Metrics"}
    assert result["costs"]["Noise"][0] == 2 * 12


def test_the_same_trial_gives_the_same_values_and_another_seed_others():
    assert run()["rows"] == run()["rows"]
    assert run(seed=1)["rows"] != run()["rows"]


def test_a_removed_handler_is_as_if_the_factory_had_not_attached_it():
    def bare():
        return job(0.1, GradientClip(0.1), Metrics())

    assert run(without=("Noise", "Halves"))["rows"] == run(bare)["rows"]
    assert run(without=("Noise",))["rows"] != run()["rows"]


def test_the_first_weights_do_not_depend_on_what_is_removed():
    assert run(epochs=0)["rows"] == run(epochs=0, without=("Noise",))["rows"]


def test_arguments_are_passed_to_the_factory():
    assert run(lr=0.5)["rows"] != run(lr=0.1)["rows"] == run()["rows"]


def test_handlers_that_write_are_left_out(tmp_path):
    def writes():
        own = CSVLogger(tmp_path / "log.csv"), Checkpoint(tmp_path / "saved")
        return job(0.1, Noise(), *own)

    assert run(writes)["outcome"] == "completed"
    assert [*tmp_path.iterdir()] == []


class Fails:
    def begin_epoch(self, trainer, state):
        if state.epoch == 1:
            raise ValueError("no more")


def test_an_error_is_a_result_with_its_traceback_and_what_was_there_before():
    result = run(lambda: job(0.1, Fails(), Metrics()))
    assert (result["outcome"], result["reason"]) == ("failed", "ValueError: no more")
    assert "Traceback" in result["error"]
    assert result["rows"][0]["valid_loss"] > 0


def test_an_error_of_the_factory_is_a_result():
    def fails():
        raise OSError("no data")

    assert run(fails)["reason"] == "OSError: no data"


def test_a_metric_that_nobody_reports_ends_the_first_epoch_and_is_told():
    result = run(metric="valid_los")
    assert result["is_missing_metric"]
    assert len(result["rows"]) == 1
    assert "no metric 'valid_los' after epoch 1; did you mean valid_loss?" in result["reason"]


def test_a_fit_without_epochs_reports_no_metric():
    result = run(epochs=0)
    assert result["is_missing_metric"]
    assert result["reason"] == "LookupError: the fit has reported no 'valid_loss'"


class Spoils:
    def after_loss(self, trainer, state):
        state.loss = state.loss * float("nan")


def test_a_value_that_is_not_finite_is_kept_as_text():
    rows = run(lambda: job(0.1, Spoils(), Metrics()))["rows"]
    assert rows[-1]["valid_loss"] == "nan"
    assert json.dumps(rows, allow_nan=False)


class Pairs:
    def after_epoch(self, trainer, state):
        state.report(pair=(1, 2), text="as it is")


def test_a_value_that_is_no_number_is_kept_as_text():
    rows = run(lambda: job(0.1, Pairs(), Metrics()))["rows"]
    assert (rows[-1]["pair"], rows[-1]["text"]) == ("[1, 2]", "as it is")


class Stops:
    def after_epoch(self, trainer, state):
        raise CancelFitException("good enough")


def test_a_fit_that_a_handler_ends_early_counts_and_says_why():
    result = run(lambda: job(0.1, Stops(), EMA()))
    assert result["outcome"] == "cancelled"
    assert result["reason"].endswith(": good enough")
    assert len(result["rows"]) == 1


@pytest.mark.parametrize("seed", [0, 2**40])
def test_seeds_may_be_large(seed):
    assert run(seed=seed)["outcome"] == "completed"
