"""One long epoch that validates every few steps: who judges and who logs reads each validation."""

import csv
import json

import pytest
import torch
from helpers import batches, trainer_of
from torch import nn

from trackside.engine import SUPERVISED
from trackside.handlers import (
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    History,
    JSONLines,
    Metrics,
    ProgressBar,
    ReduceOnPlateau,
    ValidateEvery,
)


class Worse:
    """Makes each validation worse than the one before, by 1."""

    runs_after = ("Metrics",)

    def after_validate(self, trainer, state):
        state.report(score=state.step // 2)


def fit(*handlers, steps=12, **options):
    trainer = trainer_of(Metrics(), ValidateEvery(steps=2), Worse(), *handlers)
    return trainer, trainer.fit(batches(steps), batches(1, seed=2), **options)


def test_history_has_a_row_for_each_validation():
    history = History()
    fit(history, steps=6)
    rows = [(row["step"], row["score"], row["outcome"]) for row in history.rows]
    assert rows == [(2, 1, None), (4, 2, None), (6, 3, "completed")]


def test_the_row_of_an_epoch_has_what_was_reported_after_it(tmp_path):
    history = History()
    trainer = trainer_of(history)
    trainer.on("after_epoch")(lambda t, state: state.report(late=1))
    trainer.fit(batches(2), epochs=2)
    assert [(row["late"], row["outcome"]) for row in history.rows] == [(1, "completed")] * 2


def test_early_stopping_ends_the_fit_in_the_middle_of_the_epoch():
    _, state = fit(EarlyStopping("score", patience=2))
    assert (state.step, state.outcome) == (6, "cancelled")
    assert "score has not improved for 2 values; best was 1" in state.cancel.reason


def test_the_rate_is_reduced_in_the_middle_of_the_epoch():
    history = History()
    fit(ReduceOnPlateau("score", patience=0), history, steps=8)
    rates = [row["lr"] for row in history.rows]
    assert rates == [pytest.approx(rate) for rate in (0.1, 0.1, 0.01, 0.001)]


def test_the_best_checkpoint_is_one_within_the_epoch(tmp_path):
    checkpoint = Checkpoint(tmp_path, metric="score", keep_last=None)
    fit(checkpoint)
    assert checkpoint.best.name == "step-000000000002"
    better = Checkpoint(tmp_path / "max", metric="score", mode="max", keep_last=1)
    fit(better, steps=6)
    assert better.best.name == "step-000000000006"


def test_log_files_have_a_line_for_each_validation(tmp_path):
    fit(CSVLogger(tmp_path / "a.csv"), JSONLines(tmp_path / "a.jsonl"), steps=6)
    with (tmp_path / "a.csv").open() as file:
        lines = [row for row in csv.DictReader(file) if row["score"]]
    assert [(row["step"], row["score"]) for row in lines] == [("2", "1"), ("4", "2"), ("6", "3")]
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["score"] for row in rows if "score" in row] == [1, 2, 3]
    assert rows[-1]["outcome"] == "completed"


def test_a_report_at_the_end_of_an_epoch_is_one_line(tmp_path):
    trainer = trainer_of(JSONLines(tmp_path / "a.jsonl"))
    trainer.on("after_train")(lambda t, state: state.report(a=state.epoch))
    trainer.on("after_epoch")(lambda t, state: state.report(late=state.epoch))
    trainer.fit(batches(1), epochs=2)
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["a"] for row in rows if "a" in row] == [0, 1]
    assert [row["late"] for row in rows if "late" in row] == [0, 1]


def test_a_line_is_written_for_each_validation_where_no_bar_can_be_drawn(capsys):
    fit(ProgressBar(), steps=6)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["step 2", "step 4", "epochs 1/1"]


def test_rates_of_all_groups_are_logged(tmp_path):

    trainer = trainer_of()
    net = trainer.state.model
    groups = [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters()}]
    history = History()
    trainer_of(
        history,
        JSONLines(tmp_path / "a.jsonl"),
        net=net,
        optimizer=torch.optim.SGD(groups, lr=0.2),
    ).fit(batches(1))
    assert (history.rows[0]["lr"], history.rows[0]["lr_1"]) == (0.1, 0.2)
    assert json.loads((tmp_path / "a.jsonl").read_text())["lr_1"] == 0.2


def test_a_part_of_the_loss_reaches_history_logs_bar_and_judges(tmp_path, capsys):
    history, path = History(), tmp_path / "log.jsonl"
    stopping = EarlyStopping("penalty", mode="max", patience=3)

    def loss_fn(pred, y):
        penalty = pred.square().mean() * 0 + len(history.rows)
        trainer.state.report(penalty=penalty)
        return nn.functional.cross_entropy(pred, y) + penalty

    bar = ProgressBar()
    trainer = trainer_of(history, JSONLines(path), stopping, bar, loss_fn=loss_fn)
    trainer.fit(batches(3))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [float(row["penalty"]) for row in history.rows] == [0, 1, 2, 2]  # the last: the epoch
    assert [line["penalty"] for line in lines] == [0, 1, 2, 2]
    assert stopping.best == 2
    assert "penalty=2" in capsys.readouterr().err


def test_a_judge_refuses_a_metric_that_is_no_number():
    trainer = trainer_of(EarlyStopping("score"))
    trainer.on("after_train")(lambda t, state: state.report(score=[1, 2]))
    with pytest.raises(TypeError, match=r"EarlyStopping judges by 'score', and \[1, 2\] was"):
        trainer.fit(batches(1))


def test_a_missing_metric_suggests_the_nearest_name():
    trainer = trainer_of(Metrics(), EarlyStopping("val_loss"))
    with pytest.raises(LookupError, match="did you mean valid_loss"):
        trainer.fit(batches(1), batches(1))


def test_a_chart_without_epochs_has_a_row_for_each_report(tmp_path, capsys):
    history, path = History(), tmp_path / "log.jsonl"
    trainer = trainer_of(
        *(Metrics(), ValidateEvery(steps=2), Worse(), history, JSONLines(path), ProgressBar()),
        chart=SUPERVISED.without("epoch"),
    )
    trainer.fit(batches(4), batches(1, seed=2))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["score"] for row in rows if "score" in row] == [1, 2]
    assert [(row["step"], row["score"]) for row in history.rows] == [(2, 1), (4, 2)]
    assert "step 2" in capsys.readouterr().err


def test_early_stopping_ends_a_fit_without_epochs():
    trainer = trainer_of(
        *(Metrics(), ValidateEvery(steps=2), Worse(), EarlyStopping("score", patience=1)),
        chart=SUPERVISED.without("epoch"),
    )
    assert trainer.fit(batches(20), batches(1)).step == 4
