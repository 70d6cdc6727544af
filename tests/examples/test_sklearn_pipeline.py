import json
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn_pipeline import TorchClassifier

from trackside.events import AttachError

EXAMPLE = Path(__file__).parents[2] / "examples" / "sklearn_pipeline.py"

CHECKS = """
import json
from sklearn.utils.estimator_checks import check_estimator
from sklearn_pipeline import TorchClassifier

results = check_estimator(TorchClassifier(random_state=0), on_skip=None, on_fail=None)
print(json.dumps([[r["check_name"], r["status"], str(r["exception"])] for r in results]))
"""


def pipeline(**options):
    classifier = TorchClassifier(**{"epochs": 5, "random_state": 0, **options})
    return make_pipeline(StandardScaler(), classifier)


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


def test_it_passes_every_check_that_scikit_learn_has_for_a_classifier():
    done = subprocess.run(
        [sys.executable, "-c", CHECKS],
        cwd=EXAMPLE.parent,
        # without it one check is skipped, before scipy is imported
        env={**os.environ, "SCIPY_ARRAY_API": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [result for result in results if result[1] != "passed"] == []
    assert len(results) > 50


def test_a_pipeline_is_cross_validated_on_the_digits(digits):
    scores = cross_val_score(pipeline(), *digits, cv=3)
    assert scores.mean() > 0.9


def test_folds_fitted_in_four_threads_score_as_those_fitted_one_by_one(digits):
    alone = cross_val_score(pipeline(epochs=2), *digits, cv=4)
    with joblib.parallel_config("threading", n_jobs=4):
        together = cross_val_score(pipeline(epochs=2), *digits, cv=4)
    assert together.tolist() == alone.tolist()


def test_its_options_are_searched_as_those_of_any_estimator(digits):
    images, targets = digits
    grid = {"torchclassifier__hidden": [(), (16, 16)]}
    search = GridSearchCV(pipeline(epochs=2), grid, cv=2).fit(images[:500], targets[:500])
    assert search.best_params_["torchclassifier__hidden"] in [(), (16, 16)]
    assert search.predict(images[500:]).shape == (len(images) - 500,)


def test_the_global_random_states_are_left_alone(digits):
    images, targets = digits
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    pipeline().fit(images[:200], targets[:200])
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_it_predicts_the_same_after_pickling(digits):
    images, targets = digits
    fitted = pipeline().fit(images[:200], targets[:200])
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(images), fitted.predict_proba(images))


def test_handlers_are_an_option_by_name_that_survives_a_clone(digits):
    images, targets = digits
    classifier = clone(TorchClassifier(epochs=1, handlers=("stop_on_nan",)))
    assert classifier.fit(images[:99], targets[:99]).handlers == ("stop_on_nan",)
    with pytest.raises(AttachError, match="did you mean stop_on_nan"):
        classifier.set_params(handlers=("stop_on_nans",)).fit(images, targets)
