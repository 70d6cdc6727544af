"""The results of metrics over ranks; tests/handlers/distributed has two of them."""

import math

import torch
from torchmetrics import MeanMetric

from trackside.handlers.logging._rank_totals import metric_over_ranks


class Result:
    """A metric that has found `value`."""

    def __init__(self, value):
        self.value = value

    def compute(self):
        return self.value


def test_a_metric_of_torchmetrics_computes_by_itself(group):
    metric = MeanMetric()
    metric.update(torch.tensor([1.0, 2.0]))
    assert float(metric_over_ranks(metric, 2)) == 1.5


def test_a_metric_of_which_no_rank_has_seen_an_example_is_nan(group):
    assert math.isnan(metric_over_ranks(Result(0.5), 0))


def test_a_result_that_is_no_number_is_that_of_the_first_rank(group):
    assert metric_over_ranks(Result({"best": "a", "share": 0.5}), 3) == {"best": "a", "share": 0.5}
