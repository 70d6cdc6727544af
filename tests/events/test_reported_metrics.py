"""What may be reported, and under which names."""

import copy
from fractions import Fraction

import numpy as np
import pytest
import torch
from helpers import state_of

from trackside.events.reported_metrics import missing_metric


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([[1, 2]]), [[1, 2]]),
        ((1, np.float32(2)), [1, 2.0]),
        (Fraction(1, 4), 0.25),
        ("text", "text"),
        (None, None),
    ],
)
def test_what_is_plainly_data_becomes_plain(value, plain):
    state = state_of()
    state.report(score=value)
    assert state.metrics == {"score": plain}
    assert type(state.metrics["score"]) is type(plain)


def test_an_assigned_metric_is_reported_too():
    state = state_of()
    state.metrics["a"] = 1
    state.metrics |= {"b": 2}
    state.metrics.setdefault("c", 3)
    state.metrics.update(d=4)
    assert state.reports.take() == {"a": 1, "b": 2, "c": 3, "d": 4} == state.metrics


def test_entries_of_a_mapping_have_joined_names():
    state = state_of()
    state.report(many={"a": 1, "deep": {"b": np.float64(2)}}, one=3)
    assert state.metrics == {"many_a": 1, "many_deep_b": 2.0, "one": 3}


def test_a_reported_tensor_is_detached_and_not_read():
    state = state_of()
    state.report(norm=torch.ones((), device="meta", requires_grad=True))
    assert not state.metrics["norm"].requires_grad


def test_what_is_no_data_is_refused_and_nothing_is_reported():
    state = state_of()
    with pytest.raises(TypeError, match=r"report\(valid_x=…\): found a set; allowed: a number"):
        state.report(good=1, valid_x={1})
    assert state.metrics == {} == state.reports.take()


def test_a_replaced_dict_of_metrics_still_reports():
    state = state_of()
    state.metrics = {"kept": 1}
    state.report(new=2)
    assert state.metrics == {"kept": 1, "new": 2}
    assert state.reports.take() == {"new": 2}


def test_a_copy_of_the_metrics_is_a_plain_dict():
    state = state_of()
    state.report(a=1)
    assert type(copy.deepcopy(state.metrics)) is dict
    assert copy.deepcopy(state).metrics == {"a": 1}


def test_a_present_value_is_not_replaced_by_a_default_and_not_reported_again():
    state = state_of(metrics={"a": 1})
    assert state.metrics.setdefault("a", 2) == 1
    assert state.metrics.setdefault("b") is None
    assert state.reports.take() == {"b": None}
    assert state.reports.take() == {}


def test_the_name_of_a_metric_is_a_str():
    state = state_of()
    with pytest.raises(TypeError, match=r"found the name 3, a int; allowed: str"):
        state.metrics[3] = 1


def test_who_adds_a_value_has_it_sent():
    state, told = state_of(), []
    state.reports.notify = lambda: told.append(dict(state.reports.pending))
    state.report(a=1, b=2)
    assert told == [{"a": 1}, {"a": 1, "b": 2}]


def test_a_metric_that_nobody_has_reported_is_told_with_the_nearest_one_and_the_others():
    said = missing_metric("EarlyStopping", "val_loss", ["train_loss", "valid_loss"], epoch=0)
    head = "EarlyStopping found no metric 'val_loss' after epoch 1; did you mean valid_loss?"
    assert said == f"{head}; there are: train_loss, valid_loss"
    alone = missing_metric("EarlyStopping", "loss", [], epoch=2)
    assert alone.endswith("after epoch 3; there are: none (attach Metrics)")
