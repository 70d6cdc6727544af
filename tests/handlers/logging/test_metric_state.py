"""The parts of torchmetrics that `_metric_state.py` uses, one test for each."""

import torch
from torchmetrics import MeanMetric


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
