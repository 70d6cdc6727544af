import csv
import os

import pytest
import torch
from helpers import batches, state_of, trainer_of
from loggers import csv_rows

from trackside.events import CancelEpochException
from trackside.handlers import Metrics
from trackside.handlers.logging.csv_logger import CSVLogger


class Writes:
    """Writes metrics at the end of each epoch, one dict an epoch."""

    def __init__(self, *metrics):
        self.metrics = list(metrics)

    def after_train(self, trainer, state):
        state.metrics.update(self.metrics.pop(0))


def cells(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.csv"


def log_of(path, *metrics, **options):
    trainer = trainer_of(Writes(*metrics), CSVLogger(path, **options))
    trainer.fit(batches(1), epochs=len(metrics))
    return cells(path)


def test_the_file_has_a_header_and_a_line_for_each_epoch(path):
    assert log_of(path, {"m": 0.5}, {"m": -1e-9}) == [
        ["fit", "epoch", "step", "samples", "lr", "outcome", "m"],
        ["0", "0", "1", "4", "0.1", "completed", "0.5"],
        ["0", "1", "2", "8", "0.1", "completed", "-1e-09"],
    ]


def test_a_new_metric_is_added_as_the_last_column(path):
    assert log_of(path, {"m": 1}, {"n": 2}, {}, {"n": 3, "o": 4, "m": 5}) == [
        ["fit", "epoch", "step", "samples", "lr", "outcome", "m", "n", "o"],
        ["0", "0", "1", "4", "0.1", "completed", "1", "", ""],
        ["0", "1", "2", "8", "0.1", "completed", "", "2", ""],
        ["0", "2", "3", "12", "0.1", "completed", "", "", ""],
        ["0", "3", "4", "16", "0.1", "completed", "5", "3", "4"],
    ]


def test_no_temporary_file_is_left_in_the_folder(path, tmp_path):
    log_of(path, {"m": 1}, {"n": 2})
    assert {*tmp_path.iterdir()} == {path, path.with_name("log.csv.facts")}


def test_step_lines_have_the_loss_and_no_outcome(path):
    trainer = trainer_of(CSVLogger(path, every=2))
    trainer.fit(batches(5))
    rows = csv_rows(path)
    assert [(row["step"], row["outcome"]) for row in rows] == [
        ("2", ""),
        ("4", ""),
        ("5", "completed"),
    ]
    assert [row["loss"] == "" for row in rows] == [False, False, True]


def test_numbers_are_read_back_exactly(path):
    assert float(log_of(path, {"m": 1 / 3})[1][-1]) == 1 / 3


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1"])
def test_text_that_could_be_a_formula_has_an_apostrophe(path, text):
    header, row = log_of(path, {text: text})
    assert header[-1] == row[-1] == f"'{text.strip()}"


@pytest.mark.parametrize("value", [-1, -0.5, torch.tensor(-2.0), float("-inf"), float("nan"), True])
def test_a_number_is_written_unchanged(path, value):
    expected = value.item() if isinstance(value, torch.Tensor) else value
    assert log_of(path, {"m": value})[1][-1] == str(expected)


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\u2028b", "a\tb"])
def test_text_is_written_in_one_line(path, text):
    log_of(path, {text: text}, {"later": 1})
    assert len(path.read_bytes().splitlines()) == 3
    assert cells(path)[1][6:] == ["a b", ""]


def test_commas_and_quotes_are_kept_when_a_column_is_added(path):
    log_of(path, {'a,"b': 'c,"d"'}, {"later": 1})
    assert [row[6:] for row in cells(path)] == [['a,"b', "later"], ['c,"d"', ""], ["", "1"]]


def test_a_tensor_is_written_as_a_list(path):
    assert log_of(path, {"m": torch.tensor([0.5, -1.0])})[1][-1] == "[0.5, -1.0]"


def test_an_epoch_cancelled_before_the_first_metric_has_empty_cells(path):
    trainer = trainer_of(Metrics(), CSVLogger(path))

    @trainer.on("begin_epoch", when=lambda t, s: s.epoch == 0)
    def cancel(trainer, state):
        raise CancelEpochException

    trainer.fit(batches(), batches(1), epochs=2)
    first, second = csv_rows(path)
    assert (first["outcome"], first["train_loss"]) == ("cancelled", "")
    assert float(second["train_loss"]) == trainer.state.metrics["train_loss"]
    assert float(second["valid_loss"]) == trainer.state.metrics["valid_loss"]


def test_an_existing_log_is_continued_with_its_columns(path):
    log_of(path, {"m": 1, "n": 2})
    assert log_of(path, {"o": 3, "n": 4})[1:] == [
        ["0", "0", "1", "4", "0.1", "completed", "1", "2", ""],
        ["1", "0", "1", "4", "0.1", "completed", "", "4", "3"],
    ]


def test_an_incomplete_last_line_is_removed(path):
    log_of(path, {"m": 1}, {"m": 2})
    path.write_bytes(path.read_bytes()[:-7])
    assert [row[:2] for row in log_of(path, {"m": 3})[1:]] == [["0", "0"], ["1", "0"]]


def test_a_log_with_only_a_header_starts_at_fit_0(path):
    path.write_text("fit,epoch,step,samples,lr,outcome,m\n", encoding="utf-8")
    assert log_of(path, {"m": 3})[1][0] == "0"


def test_a_log_removed_during_a_fit_is_created_again(path):
    trainer = trainer_of(CSVLogger(path))
    trainer.on("begin_epoch", when=lambda t, s: s.epoch == 1)(lambda t, state: path.unlink())
    trainer.fit(batches(1), epochs=2)
    assert [row["epoch"] for row in csv_rows(path)] == ["1"]


def test_a_new_column_keeps_the_permissions_of_the_file(path):
    log_of(path, {"m": 1})
    path.chmod(0o600)
    log_of(path, {"n": 1})
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_to_a_log_is_kept(path, tmp_path):
    real = tmp_path / "real.csv"
    path.symlink_to(real)
    log_of(path, {"m": 1}, {"n": 2})
    assert path.is_symlink()
    assert len(cells(real)) == 3


def test_the_folder_is_created_and_the_path_survives_chdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = trainer_of(CSVLogger("runs/first/log.csv"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    trainer.on("begin_epoch")(lambda t, state: os.chdir(elsewhere))
    trainer.fit(batches(1), epochs=2)
    assert len(csv_rows(tmp_path / "runs/first/log.csv")) == 2


def test_another_file_is_refused_and_kept(path):
    path.write_text("name,age\nmine,3", encoding="utf-8")
    with pytest.raises(ValueError, match=r"CSVLogger\(.*that file is not a log of CSVLogger"):
        CSVLogger(path)
    assert path.read_text(encoding="utf-8") == "name,age\nmine,3"


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"CSVLogger\(.*that is no file"):
        CSVLogger(tmp_path)


def test_an_empty_file_is_accepted(path):
    path.touch()
    assert len(log_of(path, {"m": 1})) == 2


def test_a_fit_without_an_epoch_leaves_no_file(path):
    trainer_of(CSVLogger(path)).fit(batches(), epochs=0)
    assert not path.exists()


def test_works_on_hand_made_states(path):
    logger = CSVLogger(path, every=5)
    logger.after_step(None, state_of(epoch=0, step=4, loss=torch.tensor(2.0)))
    logger.after_step(None, state_of(epoch=0, step=5, samples=20, loss=torch.tensor(0.5)))
    assert cells(path) == [
        ["fit", "epoch", "step", "samples", "lr", "loss"],
        ["0", "0", "5", "20", "", "0.5"],
    ]
