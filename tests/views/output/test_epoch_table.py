import torch

from trackside.views.output.epoch_table import format_epochs


def row(epoch, outcome="completed", **metrics):
    counters = {"fit": 0, "epoch": epoch, "step": 5 * (epoch + 1), "samples": 15, "lr": 0.1}
    return {**counters, "outcome": outcome, **metrics}


def test_columns_are_aligned_numbers_short_and_epochs_counted_from_1():
    rows = [row(0, valid_loss=0.1234567), row(10, valid_loss=12.0)]
    assert format_epochs(rows).splitlines() == [
        "epoch  step   lr  valid_loss",
        "    1     5  0.1      0.1235",
        "   11    55  0.1          12",
    ]


def test_a_missing_value_is_an_empty_cell():
    rows = [row(0), row(1, f1=0.5)]
    assert format_epochs(rows).splitlines() == [
        "epoch  step   lr   f1",
        "    1     5  0.1",
        "    2    10  0.1  0.5",
    ]


def test_metrics_that_are_not_numbers_are_left_out():
    assert "confusion" not in format_epochs([row(0, confusion=torch.eye(2), f1=0.5)])


def test_outcomes_are_shown_if_an_epoch_was_not_completed():
    lines = format_epochs([row(0), row(1, outcome="cancelled")]).splitlines()
    assert [line.split()[-1] for line in lines] == ["outcome", "completed", "cancelled"]
