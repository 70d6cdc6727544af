"""The parts of torchmetrics that `_metric_state.py` uses, one test for each."""

import copy

import pytest
import torch
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassPrecision

from trackside.handlers.logging._metric_state import load_metric_state, metric_state


def updated():
    metric = MeanMetric()
    metric.update(torch.tensor([1.0, 2.0]))
    return metric


def test__update_count_is_the_number_of_updates_and_can_be_set():
    metric = updated()
    assert metric._update_count == 1
    metric._update_count = 3
    assert metric.update_count == 3


def test_metric_state_is_what_the_updates_have_accumulated():
    assert {name: float(value) for name, value in updated().metric_state.items()} == {
        "mean_value": 3.0,
        "weight": 2.0,
    }


def test_a_state_is_restored_by_setting_its_attributes():
    metric, other = updated(), MeanMetric()
    for name, value in metric.metric_state.items():
        setattr(other, name, value)
    other._update_count = metric._update_count
    assert other.compute() == metric.compute() == 1.5


@pytest.mark.parametrize("before", range(1, 4))
def test_a_collection_of_metrics_goes_on_from_its_saved_state(before):
    parts = [(torch.tensor([0, 1, n % 2]), torch.tensor([0, n % 3 // 2, 1])) for n in range(6)]
    whole, broken_off, resumed = collection(), collection(), collection()
    update_with(whole, parts)
    update_with(broken_off, parts[:before])
    update_with(resumed, parts[:1])
    resumed.compute()  # kept by each metric until its next update
    load_metric_state(resumed, metric_state(broken_off))
    assert resumed.compute() == broken_off.compute()
    update_with(resumed, parts[before:])
    assert resumed.compute() == whole.compute()


class Seen(torch.nn.Module):
    """A metric of a library that saves its own state."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.tensor(0))

    def update(self, pred, target):
        self.count += len(target)


def test_a_metric_with_a_state_dict_goes_on_from_that():
    metric, other = Seen(), Seen()
    metric.update(torch.ones(3), torch.ones(3))
    saved = copy.deepcopy(metric_state(metric))
    metric.update(torch.ones(1), torch.ones(1))
    load_metric_state(other, saved)
    other.update(torch.ones(2), torch.ones(2))
    assert int(other.count) == 5


def collection():
    return MetricCollection([MulticlassAccuracy(2), MulticlassPrecision(2), MulticlassF1Score(2)])


def update_with(metric, parts):
    for pred, target in parts:
        metric.update(pred, target)
