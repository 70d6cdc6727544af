"""Every handler goes on after a stop as if nothing had happened; a fit for each is resumable.py."""

import random

import pytest
import resumable
from trackside import handlers
from trackside.views.resume_worker import Check
from trackside.views.verify_resume import MEASURED

SAMPLE = 6


def test_there_is_a_fit_for_every_handler():
    assert {*resumable.MAKERS} == {*handlers.__all__} - {"LRFinder"}  # which makes a fit of its own


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RESUMABLE_FOLDER", str(tmp_path))
    return tmp_path


def check(make, folder):
    return Check(make(), folder, MEASURED)


@pytest.mark.parametrize("name", resumable.MAKERS)
def test_a_fit_with_it_goes_on_at_any_boundary(name, folder, request):
    if name == "MLflow":
        uri = request.getfixturevalue("mlflow_uri")
        request.getfixturevalue("monkeypatch").setenv("RESUMABLE_MLFLOW", uri)
    if name == "WandB":
        request.getfixturevalue("offline")
    make = resumable.MAKERS[name]
    whole = check(make, folder).whole(epochs=2)
    assert [told for told in whole["warnings"] if "cannot save" in told] == []
    boundaries = range(len(whole["boundaries"]))
    for number in sorted(random.Random(name).sample(boundaries, min(SAMPLE, len(boundaries)))):
        found = check(make, folder).rest(number, whole)
        assert (number, found["difference"]) == (number, "")


def test_all_together_go_on_at_every_boundary(folder):
    whole = check(resumable.everything, folder).whole(epochs=2)
    assert len(whole["boundaries"]) > 30
    for number in range(len(whole["boundaries"])):
        found = check(resumable.everything, folder).rest(number, whole)
        assert (number, found["difference"]) == (number, "")
