"""Every example of a loop, with all that stands around a fit."""

import importlib
from pathlib import Path

import actor_critic
import k_fold
import language_model
import pytest
from example_checks import fit_with_all_around

CHARTS = Path(__file__).parents[2] / "docs" / "charts"
EXAMPLES = sorted(p.stem for p in CHARTS.glob("*.svg") if not p.stem.endswith("-narrow"))
LIMITS = {"actor_critic": {}, "language_model": {}, "k_fold": {"epochs": 1}, "lbfgs": {"epochs": 2}}


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(actor_critic, "ROLLOUTS", 2)
    monkeypatch.setattr(k_fold, "FOLDS", 3)
    monkeypatch.setattr(language_model, "STEPS", 6)
    monkeypatch.setattr(language_model, "EVERY", 3)


def test_there_are_eleven_examples():
    assert len(EXAMPLES) == 11


@pytest.mark.filterwarnings("ignore:.*cannot save its position")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_bar_metrics_history_recorder_chart_and_exact_resume(name, tmp_path):
    limits = LIMITS.get(name, {"epochs": 2, "batches_per_epoch": 3})
    rows = fit_with_all_around(importlib.import_module(name).job, tmp_path, **limits)
    assert rows[-1]["step"] > 2
