import csv
import re
import sys

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    model,
    state_of,
    trainer_of,
    weights,
)

from trackside.events import CancelEpochException, CancelFitException
from trackside.handlers import History, LRSchedule, Metrics


class Writes:
    """Writes the metric `m` at the end of the given epochs."""

    def __init__(self, *values):
        self.values = list(values)

    def after_train(self, trainer, state):
        value = self.values.pop(0)
        if value is not None:
            state.metrics["m"] = value


def history_of(*values, fits=1):
    history = History()
    trainer = trainer_of(Writes(*values), history)
    for _ in range(fits):
        trainer.fit(batches(), epochs=len(values) // fits)
    return history


def column(history, name):
    return [row.get(name) for row in history.rows]


def test_each_epoch_has_a_row():
    history = History()
    trainer_of(Metrics(), history).fit(batches(size=[4, 4, 1]), batches(2), epochs=2)
    assert [
        {name: row[name] for name in ("fit", "epoch", "step", "samples", "lr", "outcome")}
        for row in history.rows
    ] == [
        {"fit": 0, "epoch": 0, "step": 3, "samples": 9, "lr": 0.1, "outcome": "completed"},
        {"fit": 0, "epoch": 1, "step": 6, "samples": 18, "lr": 0.1, "outcome": "completed"},
    ]
    assert all({"train_loss", "valid_loss"} <= row.keys() for row in history.rows)


def test_counters_come_first_and_are_not_replaced_by_metrics():
    history = History()
    trainer = trainer_of(history)
    trainer.on("after_train")(lambda t, state: state.metrics.update(loss=0.5, epoch=7))
    trainer.fit(batches(1))
    assert list(history.rows[0]) == ["fit", "epoch", "step", "samples", "lr", "outcome", "loss"]
    assert history.rows[0]["epoch"] == 0


def test_a_metric_of_an_earlier_epoch_is_not_repeated():
    history = history_of(0.5, None, 0.25)
    assert column(history, "m") == [0.5, None, 0.25]
    assert "m" not in history.rows[1]


def test_a_second_fit_appends_its_rows():
    history = history_of(1, 2, 3, None, fits=2)
    assert column(history, "fit") == [0, 0, 1, 1]
    assert column(history, "epoch") == [0, 1, 0, 1]
    assert column(history, "step") == [3, 6, 3, 6]
    assert column(history, "m") == [1, 2, 3, None]


def test_validate_between_fits_changes_no_row():
    history = History()
    trainer = trainer_of(Metrics(), history)
    trainer.fit(batches(), batches(2))
    before = [dict(row) for row in history.rows]
    trainer.validate(batches(1, seed=3))
    assert history.rows == before
    trainer.fit(batches())
    assert history.rows[:1] == before
    assert "valid_loss" not in history.rows[1]


def test_a_cancelled_epoch_has_a_row():
    history = History()
    trainer = trainer_of(Metrics(), history)

    @trainer.on("begin_batch", when=lambda t, state: state.epoch == 1 and state.batch_index == 1)
    def cancel(trainer, state):
        raise CancelEpochException

    trainer.fit(batches(), epochs=3)
    assert column(history, "outcome") == ["completed", "cancelled", "completed"]
    assert [("train_loss" in row) for row in history.rows] == [True, False, True]


def test_a_failed_epoch_has_a_row():
    history = History()
    trainer = trainer_of(Metrics(), history)

    @trainer.on("after_loss", when=lambda t, state: state.epoch == 1)
    def fail(trainer, state):
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        trainer.fit(batches(), epochs=3)
    assert column(history, "outcome") == ["completed", "failed"]


def test_the_row_is_added_even_if_another_handler_ends_the_fit():
    history = History()
    trainer = trainer_of()

    @trainer.on("after_epoch")
    def cancel(trainer, state):
        raise CancelFitException

    trainer.attach(history)
    trainer.fit(batches(), epochs=3)
    assert column(history, "outcome") == ["completed"]


def test_the_rate_in_a_row_is_the_last_one_of_the_epoch():
    history = History()
    schedule = LRSchedule(
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5), every="epoch"
    )
    trainer_of(schedule, history).fit(batches(1), epochs=3)
    assert column(history, "lr") == [0.1, 0.05, 0.025]


def test_a_rate_that_is_a_tensor_is_written_as_a_number():
    net, history = model(), History()
    optimizer = torch.optim.Adam(net.parameters(), lr=torch.tensor(0.25), capturable=False)
    trainer_of(history, net=net, optimizer=optimizer).fit(batches(1))
    assert history.rows[0]["lr"] == 0.25
    assert isinstance(history.rows[0]["lr"], float)


def test_works_on_a_hand_made_state():
    history, state = History(), state_of(epoch=4, step=20, samples=80, metrics={"m": 1.5})
    history.after_epoch(None, state)
    assert history.rows == [
        {
            "fit": 0,
            "epoch": 4,
            "step": 20,
            "samples": 80,
            "lr": None,
            "outcome": "completed",
            "m": 1.5,
        }
    ]


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_csv_has_a_line_for_each_row_and_empty_cells(tmp_path):
    history_of(0.5, None, -1e-9).to_csv(tmp_path / "history.csv")
    assert read(tmp_path / "history.csv") == [
        ["fit", "epoch", "step", "samples", "lr", "outcome", "m"],
        ["0", "0", "3", "12", "0.1", "completed", "0.5"],
        ["0", "1", "6", "24", "0.1", "completed", ""],
        ["0", "2", "9", "36", "0.1", "completed", "-1e-09"],
    ]


def test_numbers_are_read_back_from_the_csv_exactly(tmp_path):
    history_of(1 / 3).to_csv(tmp_path / "history.csv")
    assert float(read(tmp_path / "history.csv")[1][-1]) == 1 / 3


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_text_that_could_be_a_formula_has_an_apostrophe(tmp_path, text):
    history = History()
    trainer = trainer_of(history)
    trainer.on("after_train")(lambda t, state: state.metrics.update({text: text}))
    trainer.fit(batches(1))
    history.to_csv(str(tmp_path / "history.csv"))
    header, row = read(tmp_path / "history.csv")
    assert header[-1] == row[-1] == f"'{text}"


@pytest.mark.parametrize("value", [-1, -0.5, torch.tensor(-2.0), float("-inf"), True])
def test_a_number_in_the_csv_is_written_unchanged(tmp_path, value):
    history_of(value).to_csv(tmp_path / "history.csv")
    cell = read(tmp_path / "history.csv")[1][-1]
    assert cell == str(value.item() if isinstance(value, torch.Tensor) else value)


def test_a_tensor_in_the_csv_is_written_as_a_list(tmp_path):
    history_of(torch.tensor([0.5, -1.0])).to_csv(tmp_path / "history.csv")
    assert read(tmp_path / "history.csv")[1][-1] == "[0.5, -1.0]"


def test_an_empty_history_has_a_csv_with_a_header(tmp_path):
    History().to_csv(tmp_path / "history.csv")
    assert read(tmp_path / "history.csv") == [["fit", "epoch", "step", "samples", "lr", "outcome"]]


def test_the_plot_groups_training_and_validation_in_panels(tmp_path):
    history = History()
    trainer = trainer_of(Metrics(), history)
    trainer.on("after_train", when=lambda t, state: state.epoch == 1)(
        lambda t, state: state.metrics.update(gap=0.5, matrix=torch.eye(2))
    )
    trainer.fit(batches(), batches(2), epochs=3)
    figure = history.plot(tmp_path / "history.png")
    assert [axes.get_title() for axes in figure.axes] == ["loss", "gap"]
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["train_loss", "valid_loss"]
    assert [len(line.get_xdata()) for line in lines] == [3, 3]
    assert list(figure.axes[1].get_lines()[0].get_xdata()) == [2]
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_two_fits_are_plotted_one_after_the_other():
    figure = history_of(1, 2, 3, 4, fits=2).plot()
    assert list(figure.axes[0].get_lines()[0].get_xdata()) == [1, 2, 3, 4]


def test_reports_within_epochs_are_plotted_over_the_steps_of_all_fits():
    history = History()
    trainer = trainer_of(history)
    trainer.on("after_step")(lambda t, state: state.report(m=state.step))
    for _ in range(2):
        trainer.fit(batches(3))
    [axes] = history.plot().axes
    assert axes.get_xlabel() == "steps"
    assert list(axes.get_lines()[0].get_xdata()) == [1, 2, 3, 4, 5, 6]
    assert list(axes.get_lines()[0].get_ydata()) == [1, 2, 3, 1, 2, 3]


def test_plotting_without_a_metric_is_refused():
    with pytest.raises(ValueError, match="no metric in 0 rows"):
        History().plot()


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'trackside\[plot\]'"):
        history_of(1).plot()


def test_training_is_bitwise_unchanged():
    plain, watched = trainer_of(), trainer_of(History())
    for trainer in (plain, watched):
        trainer.fit(batches(), batches(), epochs=2)
    assert equal(weights(plain), weights(watched))


def test_no_device_sync():
    history = History()
    trainer_of(history, net=model().to("meta"), device="meta").fit(batches(), epochs=2)
    assert column(history, "step") == [3, 6]


@every_cancel
@early_or_late
def test_after_any_cancel_every_epoch_has_one_row(signal, scope, early):
    history = History()
    trainer = cancelled_fit(history, signal, scope, early)
    assert column(history, "epoch") == list(range(trainer.state.epoch + 1))
    assert set(column(history, "outcome")) <= {"completed", "cancelled"}
    count = len(history.rows)
    trainer.fit(batches(), epochs=2)
    assert column(history, "epoch")[count:] == [0, 1]
    assert set(column(history, "fit")[count:]) == {1 if count else 0}


def test_the_repr_says_how_many_epochs_and_the_last_values():
    history = History()
    assert repr(history) == "History(no epoch yet)"
    first = {"fit": 0, "epoch": 0, "step": 3, "samples": 12, "lr": 0.1, "outcome": "completed"}
    history.rows = [{**first, "loss": 0.5, "top": torch.tensor(3), "confusion": [[1]]}]
    assert repr(history) == "History(1 epoch, loss=0.5, top=3)"
    history.rows += [{**first, "epoch": 1, "loss": 0.25}]
    assert repr(history) == "History(2 epochs, loss=0.25, top=3)"
    history.rows[0] |= dict.fromkeys("abcdefg", 1)
    assert repr(history).endswith("b=1, c=1, d=1, …)")


def test_in_a_notebook_a_history_is_a_table_with_epochs_from_1():
    history = History()
    row = {"fit": 0, "epoch": 0, "step": 3, "samples": 12, "lr": 0.1, "outcome": "completed"}
    history.rows = [row]
    assert "outcome" not in history._repr_html_()
    history.rows = [{**row, "<loss>": 0.123456}, {**row, "epoch": 1, "outcome": "cancelled"}]
    html = history._repr_html_()
    assert re.findall("<th>(.*?)</th>", html) == ["epoch", "step", "lr", "&lt;loss&gt;", "outcome"]
    cells = [re.findall("<td>(.*?)</td>", line) for line in html.split("<tr>")[2:]]
    assert cells == [["1", "3", "0.1", "0.1235", "completed"], ["2", "3", "0.1", "", "cancelled"]]
    history.rows *= 150
    assert "the last 200 of 300 rows" in history._repr_html_()
    assert history._repr_html_().count("<tr>") == 201
