import ablation

from trackside.views.jobs.named_job import JobSource
from trackside.views.studies.factory_probe import probe
from trackside.views.studies.trial import run_trial
from trackside.views.studies.trial_result import Trial
from trackside.views.studies.variation import removals

HANDLERS = ["MixUp", "LabelSmoothing", "GradientClip", "OneCycle", "EMA", "WeightDecayGroups"]


def test_a_study_removes_each_of_its_six_handlers():
    plan = removals(probe(JobSource(ablation.job, "ablation:job"), 0, {}))
    assert [variation.without for variation in plan.variations] == [(), *((h,) for h in HANDLERS)]
    assert plan.notes == ["Metrics stays: it only measures"]


def test_its_fit_without_a_handler_reports_the_accuracy():
    trial = Trial(("MixUp",), (("lr", 0.3),), 0)
    result = run_trial(JobSource(ablation.job, "ablation:job"), trial, "valid_accuracy", 1)
    assert result["outcome"] == "completed"
    assert result["rows"][0]["valid_accuracy"] > 0.5
    assert {*result["costs"]} == {*HANDLERS, "Metrics"} - {"MixUp"}
