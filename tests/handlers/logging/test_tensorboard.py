import threading

import pytest
import torch
from helpers import CANCELS, batches, cancelled_fit, trainer_of
from loggers import facts_text, scalars

from trackside.events.utils.flat_names import flat_names
from trackside.handlers import Metrics
from trackside.handlers.logging.tensorboard import TensorBoard
from trackside.handlers.run_facts import run_facts


def test_metrics_have_their_names_and_the_step_of_the_fit(tmp_path):
    trainer = trainer_of(Metrics(), TensorBoard(tmp_path))
    trainer.fit(batches(), batches(2), epochs=2)
    series = scalars(tmp_path / "fit_0")
    assert sorted(series) == [
        "epoch",
        "lr",
        "outcome",
        "samples",
        "train_loss",
        "valid_loss",
    ]
    assert [step for step, _ in series["valid_loss"]] == [3, 6]
    last = trainer.state.metrics["valid_loss"]
    assert series["valid_loss"][-1][1] == pytest.approx(last, rel=1e-6)
    assert series["outcome"] == [(3, "completed"), (6, "completed")]


def test_each_run_has_the_facts_of_its_fit_as_a_text(tmp_path):
    trainer = trainer_of(TensorBoard(tmp_path))
    trainer.state.facts = {"factory": "m:f", "arguments": {"lr": 0.1}}
    for seed in (3, 4):
        trainer.fit(batches(1), seed=seed)
        expected = flat_names(run_facts(trainer.state))
        lines = facts_text(tmp_path / f"fit_{seed - 3}").splitlines()
        assert lines == [f"    {name}  {value}" for name, value in expected.items()]
        assert f"    seed  {seed}" in lines


def test_each_fit_has_its_own_folder_after_existing_ones(tmp_path):
    (tmp_path / "runs" / "fit_0").mkdir(parents=True)
    trainer = trainer_of(TensorBoard(tmp_path / "runs"))
    trainer.fit(batches(1))
    trainer.fit(batches(2))
    folders = sorted((tmp_path / "runs").iterdir())
    assert [folder.name for folder in folders] == ["fit_0", "fit_1", "fit_2"]
    assert [len(list(folder.iterdir())) for folder in folders] == [0, 1, 1]
    assert [scalars(folder)["epoch"] for folder in folders[1:]] == [[(1, 0.0)], [(2, 0.0)]]


def test_values_that_are_not_numbers_are_left_out_but_nan_is_logged(tmp_path):
    trainer = trainer_of(TensorBoard(tmp_path))
    trainer.on("after_train")(
        lambda t, state: state.metrics.update(text="a", matrix=torch.eye(2), gone=float("nan"))
    )
    trainer.fit(batches(1))
    series = scalars(tmp_path / "fit_0")
    assert sorted(series) == ["epoch", "gone", "lr", "outcome", "samples"]
    assert str(series["gone"]) == "[(1, nan)]"


def test_an_epoch_is_readable_as_soon_as_it_ends(tmp_path):
    trainer, seen = trainer_of(TensorBoard(tmp_path)), []
    trainer.on("begin_epoch", when=lambda t, s: s.epoch > 0)(
        lambda t, state: seen.append(scalars(tmp_path / "fit_0")["epoch"])
    )
    trainer.fit(batches(1), epochs=3)
    assert seen == [[(1, 0.0)], [(1, 0.0), (2, 1.0)]]


@pytest.mark.parametrize("scope", CANCELS)
def test_no_thread_outlives_the_fit(tmp_path, scope):
    before = {*threading.enumerate()}
    cancelled_fit(TensorBoard(tmp_path), f"begin_{scope}", scope, early=False)
    assert {*threading.enumerate()} <= before


def test_a_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ValueError, match=r"TensorBoard\(.*that is a file; allowed: a folder"):
        TensorBoard(path)


def test_a_run_that_cannot_be_opened_is_logged_once(tmp_path, caplog):
    logger = TensorBoard(tmp_path / "runs")
    (tmp_path / "runs").touch()
    trainer = trainer_of(logger)
    assert trainer.fit(batches(1)).outcome == "completed"
    assert logger not in trainer.handlers
    assert [record.getMessage()[:29] for record in caplog.records] == [
        "TensorBoard.begin_fit failed "
    ]
