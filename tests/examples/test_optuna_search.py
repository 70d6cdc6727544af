import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import optuna
import optuna_search
import pytest
from optuna.trial import TrialState

from trackside.events import after_batch, any_transition, begin_fit

EXAMPLE = Path(__file__).parents[2] / "examples" / "optuna_search.py"
HOPELESS = {"width": 8, "learning_rate": 1e-5}
GOOD = {"width": 32, "learning_rate": 1e-2}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(optuna_search, "EPOCHS", 2)
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def study():
    return optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.ThresholdPruner(lower=0.5),
    )


@pytest.fixture
def heard():
    """What a module that never saw a trainer hears of them all, by thread."""
    heard = []

    def hear(trainer, state, transition):
        heard.append((threading.get_ident(), transition.trigger, state.outcome, state.phase))

    any_transition.connect(hear)
    yield heard
    any_transition.disconnect(hear)


def states(study):
    return [trial.state for trial in study.trials]


def test_a_hopeless_trial_is_pruned_and_its_fit_is_cancelled_in_good_order(study, heard):
    study.enqueue_trial(HOPELESS)
    study.optimize(optuna_search.accuracy_of, n_trials=1)
    assert states(study) == [TrialState.PRUNED]
    assert list(study.trials[0].intermediate_values) == [0]
    *_, epoch, cancelled, fit = [row[1:] for row in heard]
    assert epoch[:2] == ("after_epoch", "completed")
    assert cancelled[0] == "after_cancel_fit"
    assert fit == ("after_fit", "cancelled", "cancelled")


def test_a_good_trial_is_completed_with_its_accuracy(study):
    study.enqueue_trial(GOOD)
    study.optimize(optuna_search.accuracy_of, n_trials=1)
    assert states(study) == [TrialState.COMPLETE]
    assert study.best_value == study.trials[0].intermediate_values[1] > 0.5


def test_trials_in_four_threads_are_all_closed_and_so_is_every_scope_of_every_fit(study, heard):
    for options in [HOPELESS, GOOD] * 4:
        study.enqueue_trial(options)
    study.optimize(optuna_search.accuracy_of, n_trials=8, n_jobs=4)
    assert Counter(states(study)) == {TrialState.COMPLETE: 4, TrialState.PRUNED: 4}
    assert len({row[0] for row in heard}) > 1
    count = Counter(row[1] for row in heard)
    for scope in ("fit", "epoch", "train", "validate", "batch", "backward", "step"):
        assert count[f"begin_{scope}"] == count[f"after_{scope}"] > 0


def test_a_trial_whose_fit_fails_is_closed_as_failed_and_the_search_goes_on(study, heard):
    def fail_once(trainer, state):
        begin_fit.disconnect(fail_once)
        raise ValueError("this one is broken")

    begin_fit.connect(fail_once)
    for _ in range(2):
        study.enqueue_trial(GOOD)
    study.optimize(optuna_search.accuracy_of, n_trials=2, catch=ValueError)
    assert states(study) == [TrialState.FAIL, TrialState.COMPLETE]
    assert [row[2:] for row in heard if row[1] == "after_fit"] == [
        ("failed", "failed"),
        ("completed", "completed"),
    ]


def test_an_interrupt_closes_the_trial_and_the_fit_and_ends_the_search(study, heard):
    @after_batch.connect
    def interrupt(trainer, state):
        after_batch.disconnect(interrupt)
        raise KeyboardInterrupt

    study.enqueue_trial(GOOD)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(optuna_search.accuracy_of, n_trials=3)
    assert states(study) == [TrialState.FAIL]
    assert heard[-1][1:] == ("after_fit", "failed", "failed")


def test_the_example_runs_as_it_stands():
    # a new process: forked after a fit, its four threads have twice crashed in torch
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "trials were pruned" in done.stdout
