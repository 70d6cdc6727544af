import dataclasses

import pytest
import torch
from helpers import state_of

from trackside.events import TrainState
from trackside.events.reported_metrics import ReportedMetrics

BATCH = "fit.epoch.train.batch.forward"


@pytest.mark.parametrize(
    ("phase", "at_boundary"),
    [
        ("idle", True),
        ("fit.ready", True),
        ("fit.epoch.train.fetch", True),
        (BATCH, False),
        ("fit.epoch.train.batch.step.run", False),
        ("fit.epoch.cancelled", False),
        ("fit.failing", False),
        ("fit.epoch.train.restore", False),
        ("cancelled", True),
    ],
)
def test_a_boundary_is_outside_a_batch_where_no_scope_is_closing(phase, at_boundary):
    assert state_of(phase=phase).at_boundary is at_boundary


@pytest.mark.parametrize(
    ("phase", "fields", "ends_round"),
    [
        ("fit.ready", {}, False),
        ("fit.epoch.trained", {}, True),
        ("fit.epoch.validate.fetch", {}, True),
        ("fit.epoch.train.fetch", {}, False),
        (BATCH, {}, False),
        ("fit.epoch.validate.batch.loss", {}, False),
        ("fit.epoch.validate.fetch", {"paused": (None, 1, 4, None)}, False),
        ("fit.epoch.trained", {"round_scope": None}, False),
    ],
)
def test_a_report_belongs_to_the_epoch_outside_of_its_training(phase, fields, ends_round):
    assert state_of(phase=phase, **fields).ends_round is ends_round


def test_an_attempt_counts_for_the_live_batch_only():
    state = state_of(phase=BATCH, batch_index=3)
    assert state.attempt == 0
    state.retried = (state.live_batch, 2)
    assert state.attempt == 2
    state.batch_index = 4
    assert state.attempt == 0


@pytest.mark.parametrize(
    "change",
    [
        {"training": True},
        {"evaluation": "other"},
        {"epoch": 7},
        {"batch_index": 7},
        {"samples": 7},
        {"step": 7},
        {"of": "head"},
    ],
)
def test_another_batch_or_update_is_not_the_live_one(change):
    assert state_of(**change).live_batch != state_of().live_batch


def test_the_parts_of_a_name_are_current_and_the_first_ones_by_the_empty_name():
    parts = {"first": object(), "second": object()}
    state = state_of(models=parts, optimizers=dict(parts), loss_fns={"first": print})
    state.select("second")
    assert (state.of, state.model) == ("second", parts["second"])
    assert (state.optimizer, state.loss_fn) == (parts["second"], print)
    state.select("")
    assert (state.of, state.model, state.optimizer) == ("", parts["first"], parts["first"])


def test_without_named_parts_the_only_ones_stay():
    state = state_of(model=(model := object()))
    state.select("")
    assert state.model is model


def test_the_learning_rate_is_that_of_the_first_group():
    assert state_of().lr is None
    weights = [{"params": [torch.zeros(1, requires_grad=True)], "lr": 0.5} for _ in range(2)]
    optimizer = torch.optim.SGD(weights, lr=0.1)
    optimizer.param_groups[1]["lr"] = 0.2
    assert state_of(optimizer=optimizer).lr == 0.5


def test_rank_0_is_the_main_process():
    assert [state_of(rank=rank).is_main for rank in (0, 1)] == [True, False]


def test_metrics_that_a_handler_has_replaced_are_reported_again():
    state = state_of(metrics={"a": 1})
    assert state.reports.pending == {}
    state.metrics = {"b": 2}
    state.report(c=3)
    assert isinstance(state.metrics, ReportedMetrics)
    assert (state.metrics, state.reports.pending) == ({"b": 2, "c": 3}, {"c": 3})
    state.clear_metrics()
    assert state.metrics == {}
    assert isinstance(state.metrics, ReportedMetrics)


def test_a_copy_with_other_fields_reports_as_the_state_does():
    state = state_of(metrics={"a": 1})
    copied = dataclasses.replace(state, epoch=3)
    copied.report(b=2)
    assert (copied.metrics, copied.reports.pending) == ({"a": 1, "b": 2}, {"b": 2})


def test_the_text_of_a_state_says_where_it_is():
    state = state_of(phase=BATCH, epoch=1, n_epochs=3, batch_index=2, n_batches=8, step=10)
    assert repr(state) == f"TrainState({BATCH}, epoch=1/3, batch=2/8, step=10)"


def test_a_new_state_has_counted_nothing():
    state = TrainState(model=None)
    counters = (state.epoch, state.n_epochs, state.batch_index, state.n_batches)
    assert counters == (-1, 0, -1, None)
    assert (state.step, state.samples, state.tokens) == (0, 0, 0)
    assert (state.rank, state.world_size, state.training) == (0, 1, False)
    assert (state.phase, state.outcome, state.cancel, state.error) == (
        "idle",
        "completed",
        None,
        None,
    )
