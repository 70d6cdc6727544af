import pytest
from recordings import recorded

from trackside.handlers import Metrics
from trackside.views.recordings.records import Scalar
from trackside.views.recordings.run_results import better_values, metric_result, run_results


def points(*values, name="valid_loss", per_epoch=1):
    return [Scalar(i, i // per_epoch, i, name, value) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("valid_loss", "lower"),
        ("word_error_rate", "lower"),
        ("valid_accuracy", "higher"),
        ("top5", "higher"),
        ("lr", None),
        ("accuracy_loss", None),
    ],
)
def test_a_name_tells_which_values_are_better_or_says_nothing(name, better):
    assert better_values(name) == better


def test_the_best_value_is_the_lowest_of_a_loss_and_the_highest_of_an_accuracy():
    assert metric_result("valid_loss", points(3.0, 1.0, 2.0))[:3] == (2.0, 1.0, 1)
    assert metric_result("accuracy", points(0.3, 0.9, 0.5))[:3] == (0.5, 0.9, 1)


def test_a_metric_without_a_direction_has_its_last_value_only():
    assert metric_result("lr", points(0.1, 0.2, 0.05, per_epoch=3)) == (0.05, None, None, None)


def test_several_values_an_epoch_count_as_their_mean():
    assert metric_result("loss", points(4.0, 2.0, 1.0, 9.0, per_epoch=2))[:3] == (5.0, 3.0, 0)


def test_a_metric_that_ends_as_nan_says_so_and_its_best_value_is_finite():
    nan, inf = float("nan"), float("inf")
    assert metric_result("loss", points(nan, 2.0, -inf, inf))[:3] == (inf, 2.0, 1)
    last, *others = metric_result("loss", points(2.0, 1.0, nan, per_epoch=2))
    assert (str(last), others) == ("nan", [1.5, 0, "lower"])
    last, *others = metric_result("loss", points(nan))
    assert (str(last), others) == ("nan", [None, None, None])


def test_results_of_a_recording_are_its_metrics_and_its_facts(tmp_path):
    with recorded(tmp_path / "run.loop", Metrics(), epochs=3) as recording:
        results = run_results(recording)
        last = [one.value for one in recording.metrics() if one.name == "valid_loss"][-1]
        torch = recording.table.facts["versions"]["torch"]
    assert results.metrics["valid_loss"].last == last
    assert results.facts["versions.torch"] == torch


def test_a_run_without_metrics_has_no_results(tmp_path):
    with recorded(tmp_path / "run.loop", scalars=None) as recording:
        assert run_results(recording).metrics == {}
