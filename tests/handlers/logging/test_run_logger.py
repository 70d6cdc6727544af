"""Behaviour that all five loggers share."""

import logging
import os
import random
import signal
import subprocess
import sys

import numpy
import pytest
import torch
from forked import run_forked
from helpers import (
    CANCELS,
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
from loggers import Run, csv_rows, json_rows, scalars
from reads import Reads

from trackside.events import CancelEpochException, CancelFitException, CancelStepException
from trackside.handlers import GradientAccumulation, LRSchedule, Metrics
from trackside.handlers.logging._row import to_python
from trackside.handlers.logging._run_logger import scalar_values

TRACKERS = ("TensorBoard", "MLflow", "WandB")


class Writes:
    """Writes the metric `m` at the end of the given epochs."""

    def __init__(self, *values):
        self.values = list(values)

    def after_train(self, trainer, state):
        value = self.values.pop(0) if self.values else None
        if value is not None:
            state.metrics["m"] = value


def column(rows, name):
    return [row.get(name) for row in rows]


def cancel_fit(trainer, state):
    raise CancelFitException


def fail(trainer, state):
    raise ValueError("mine")


def ends(kind, folder):
    return [run.end for run in kind.read(folder)]


def test_each_epoch_has_a_row(kind, tmp_path):
    trainer = trainer_of(Writes(0.5, 0.25), kind.make(tmp_path))
    trainer.fit(batches(size=[4, 4, 1]), batches(2), epochs=2)
    (run,) = kind.read(tmp_path)
    assert column(run.epochs, "epoch") == [0, 1]
    assert column(run.epochs, "step") == [3, 6]
    assert column(run.epochs, "samples") == [9, 18]
    assert column(run.epochs, "lr") == pytest.approx([0.1, 0.1])
    assert column(run.epochs, "m") == [0.5, 0.25]
    assert column(run.epochs, "outcome") == kind.told("completed", "completed")
    assert run.losses == []
    assert run.end == kind.ends["completed"]


def test_metrics_computed_at_the_end_of_a_pass_are_in_the_row(kind, tmp_path):
    trainer = trainer_of(kind.make(tmp_path), Metrics())
    trainer.fit(batches(), batches(2))
    (run,) = kind.read(tmp_path)
    for name in ("train_loss", "valid_loss"):
        assert run.epochs[0][name] == pytest.approx(trainer.state.metrics[name], rel=1e-6)


def test_the_loss_is_logged_every_n_steps(kind, tmp_path):
    trainer, losses = trainer_of(kind.make(tmp_path, every=2)), []
    trainer.on("after_loss")(lambda t, state: state.training and losses.append(state.loss.item()))
    trainer.fit(batches(3), batches(1), epochs=2)
    (run,) = kind.read(tmp_path)
    assert [step for step, _ in run.losses] == [2, 4, 6]
    assert [loss for _, loss in run.losses] == pytest.approx(losses[1::2], rel=1e-6)
    assert len(kind.outcomes(tmp_path)[0]) == 2


def test_values_are_read_only_every_n_steps(kind_of_files, tmp_path):
    for every, expected in ((None, 0), (2, 3), (1, 6)):
        trainer = trainer_of(kind_of_files.make(tmp_path, every=every))
        with Reads() as reads:
            trainer.fit(batches(3), batches(2), epochs=2)
        assert reads.count == expected


def test_tensor_rates_and_metrics_are_read_once_an_epoch(kind_of_files, tmp_path):
    def reads_of(*handlers):
        net = model()
        optimizer = torch.optim.Adam(net.parameters(), lr=torch.tensor(0.25))
        values = Writes(torch.tensor(0.5), torch.tensor([0.75]))
        with Reads() as reads:
            trainer_of(values, *handlers, net=net, optimizer=optimizer).fit(batches(), epochs=2)
        return reads.count

    by_the_optimizer = reads_of()
    assert reads_of(kind_of_files.make(tmp_path)) - by_the_optimizer == 2 + 2
    (run,) = kind_of_files.read(tmp_path)
    assert column(run.epochs, "lr") == [0.25, 0.25]
    assert column(run.epochs, "m") == [0.5, 0.75]


def test_no_device_sync(kind, tmp_path):
    trainer = trainer_of(kind.make(tmp_path, every=1), net=model().to("meta"), device="meta")
    trainer.on("after_train")(lambda t, state: state.metrics.update(m=state.loss, n=1.5))
    trainer.fit(batches(), batches(1), epochs=2)
    (run,) = kind.read(tmp_path)
    assert column(run.epochs, "step") == [3, 6]
    assert column(run.epochs, "n") == [1.5, 1.5]
    assert column(run.epochs, "m") == [None, None]
    assert run.losses == []
    assert run.end == kind.ends["completed"]


def test_a_cancelled_step_has_no_loss(kind_of_files, tmp_path):
    trainer = trainer_of(kind_of_files.make(tmp_path, every=1))

    @trainer.on("begin_step", when=lambda t, s: s.batch_index == 1)
    def keep(trainer, state):
        raise CancelStepException

    trainer.fit(batches(3))
    (run,) = kind_of_files.read(tmp_path)
    assert [step for step, _ in run.losses] == [1, 2]


def test_the_loss_of_the_last_accumulated_batch_is_logged(kind_of_files, tmp_path):
    trainer = trainer_of(GradientAccumulation(2), kind_of_files.make(tmp_path, every=1))
    losses = []
    trainer.on("after_loss")(lambda t, state: losses.append(state.loss.item()))
    trainer.fit(batches(4))
    (run,) = kind_of_files.read(tmp_path)
    assert [step for step, _ in run.losses] == [1, 2]
    assert [loss for _, loss in run.losses] == pytest.approx(losses[1::2], rel=1e-6)


def test_the_rate_in_a_row_is_the_one_of_its_epoch(kind_of_files, tmp_path):
    def halved(optimizer):
        return torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)

    trainer = trainer_of(LRSchedule(halved, every="epoch"), kind_of_files.make(tmp_path))
    trainer.fit(batches(1), epochs=3)
    (run,) = kind_of_files.read(tmp_path)
    assert column(run.epochs, "lr") == pytest.approx([0.1, 0.05, 0.025])


def test_a_metric_of_an_earlier_epoch_is_not_repeated(kind_of_files, tmp_path):
    trainer = trainer_of(Writes(0.5, None, 0.25), kind_of_files.make(tmp_path))
    trainer.fit(batches(), epochs=3)
    (run,) = kind_of_files.read(tmp_path)
    if kind_of_files.name == "TensorBoard":
        points = scalars(tmp_path / "runs" / "fit_0")["m"]
        assert points == [(3, 0.5), (9, 0.25)]
    else:
        assert column(run.epochs, "m") == [0.5, None, 0.25]


def test_a_second_fit_is_a_new_run_and_validate_is_none(kind, tmp_path):
    trainer = trainer_of(Metrics(), kind.make(tmp_path, every=2))
    trainer.fit(batches(), batches(2), epochs=2)
    before = kind.read(tmp_path)
    trainer.validate(batches(1, seed=3))
    trainer.predict(batches(1))
    assert kind.read(tmp_path) == before
    trainer.fit(batches())
    first, second = kind.read(tmp_path)
    assert [first] == before
    assert [step for step, _ in second.losses] == [2]
    assert [step for step, _ in first.losses] == [2, 4, 6]
    assert "valid_loss" not in second.epochs[0]
    assert kind.outcomes(tmp_path)[1] == kind.told("completed")
    assert second.end == kind.ends["completed"]


def test_a_new_logger_continues_the_log_of_the_old_one(kind_of_files, tmp_path):
    for _ in range(3):
        trainer_of(kind_of_files.make(tmp_path)).fit(batches(), epochs=2)
    assert [column(run.epochs, "epoch") for run in kind_of_files.read(tmp_path)] == [[0, 1]] * 3


def test_an_evaluation_without_a_fit_is_a_run_of_its_own(kind_of_files, tmp_path):
    trainer = trainer_of(Metrics(), kind_of_files.make(tmp_path))
    found = trainer.validate(batches(2), name="test")
    if kind_of_files.name == "TensorBoard":
        [(_, loss)] = scalars(tmp_path / "runs" / "fit_0")["test_loss"]
    else:
        path = next(p for p in tmp_path.iterdir() if not p.name.endswith(".facts"))
        [row] = (csv_rows if kind_of_files.name == "CSVLogger" else json_rows)(path)
        loss = float(row["test_loss"])
    assert loss == pytest.approx(found["test_loss"], rel=1e-6)


def test_a_state_from_before_the_run_was_opened_begins_a_new_run(kind_of_files, tmp_path):
    trainer_of(kind_of_files.make(tmp_path)).fit(batches(1))
    logger = kind_of_files.make(tmp_path)
    logger.resumed(None, state_of())
    logger.load_state_dict(kind_of_files.make(tmp_path).state_dict())
    trainer_of(logger).fit(batches(2))
    assert [column(run.epochs, "step") for run in kind_of_files.read(tmp_path)] == [[1], [2]]


def test_a_cancelled_epoch_has_a_row(kind, tmp_path):
    trainer = trainer_of(Writes(0.5, 0.25), kind.make(tmp_path))

    @trainer.on("begin_batch", when=lambda t, s: s.epoch == 1 and s.batch_index == 1)
    def cancel(trainer, state):
        raise CancelEpochException

    trainer.fit(batches(), epochs=3)
    (run,) = kind.read(tmp_path)
    assert column(run.epochs, "outcome") == kind.told("completed", "cancelled", "completed")
    assert column(run.epochs, "step") == [3, 4, 7]
    assert run.end == kind.ends["completed"]


def test_epochs_at_the_same_step_do_not_overwrite_each_other(kind, tmp_path):
    trainer = trainer_of(kind.make(tmp_path))

    @trainer.on("begin_epoch", when=lambda t, s: s.epoch != 1)
    def cancel(trainer, state):
        raise CancelEpochException

    trainer.fit(batches(), epochs=4)
    (run,) = kind.read(tmp_path)
    assert column(run.epochs, "epoch") == [0, 1, 2, 3]
    assert column(run.epochs, "step") == [0, 3, 3, 3]
    outcomes = kind.told("cancelled", "completed", "cancelled", "cancelled")
    assert column(run.epochs, "outcome") == outcomes


def test_a_failed_epoch_has_a_row_and_the_run_is_failed(kind, tmp_path):
    trainer = trainer_of(kind.make(tmp_path))
    trainer.on("after_loss", when=lambda t, s: s.epoch == 1)(fail)
    with pytest.raises(ValueError, match="mine"):
        trainer.fit(batches(), epochs=3)
    (run,) = kind.read(tmp_path)
    assert column(run.epochs, "outcome") == kind.told("completed", "failed")
    assert run.end == kind.ends["failed"]


def test_an_interrupted_run_is_failed(kind, tmp_path):
    trainer = trainer_of(kind.make(tmp_path))

    @trainer.on("after_loss")
    def interrupt(trainer, state):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(batches())
    assert kind.outcomes(tmp_path) == [kind.told("failed")]
    assert ends(kind, tmp_path) == [kind.ends["failed"]]


def test_a_cancelled_fit_has_its_rows_and_its_outcome(kind, tmp_path):
    trainer = trainer_of(kind.make(tmp_path))
    trainer.on("after_loss", when=lambda t, s: s.epoch == 1)(cancel_fit)
    trainer.fit(batches(), epochs=3)
    assert kind.outcomes(tmp_path) == [kind.told("completed", "cancelled")]
    assert ends(kind, tmp_path) == [kind.ends["cancelled"]]


def test_a_run_whose_iterator_is_closed_is_cancelled(kind, tmp_path):
    trainer = trainer_of(kind.make(tmp_path))
    run = trainer.steps(batches(), epochs=2)
    for transition in run:
        if transition.trigger == "after_epoch":
            break
    run.close()
    assert kind.outcomes(tmp_path) == [kind.told("completed")]
    assert ends(kind, tmp_path) == [kind.ends["cancelled"]]


def test_the_row_is_written_even_if_another_handler_ends_the_fit(kind_of_files, tmp_path):
    trainer = trainer_of()
    trainer.on("after_epoch")(cancel_fit)
    trainer.attach(kind_of_files.make(tmp_path))
    trainer.fit(batches(), epochs=3)
    assert kind_of_files.outcomes(tmp_path) == [["completed"]]


def test_attached_during_a_fit_it_logs_from_then(kind, tmp_path):
    logger, trainer = kind.make(tmp_path), trainer_of(Writes(1, 2))
    trainer.on("begin_epoch", when=lambda t, s: s.epoch == 1)(lambda t, state: t.attach(logger))
    trainer.fit(batches(), epochs=2)
    (run,) = kind.read(tmp_path)
    assert column(run.epochs, "epoch") == [1]
    assert column(run.epochs, "m") == [2]
    assert run.end == kind.ends["completed"]


def test_detached_during_a_fit_it_closes_its_run(kind, tmp_path):
    logger = kind.make(tmp_path, every=1)
    trainer = trainer_of(logger)
    trainer.on("after_step", when=lambda t, s: s.step == 4)(lambda t, state: t.detach(logger))
    trainer.fit(batches(), epochs=3)
    assert logger not in trainer.handlers
    (run,) = kind.read(tmp_path)
    assert kind.outcomes(tmp_path) == [kind.told("completed")]
    assert [step for step, _ in run.losses] == [1, 2, 3, 4]
    assert run.end == kind.ends["cancelled"]
    trainer.fit(batches())
    assert kind.read(tmp_path) == [run]


def test_an_error_of_the_logger_detaches_it_and_the_fit_continues(kind, tmp_path, caplog):
    logger = kind.make(tmp_path)
    trainer = trainer_of(logger)
    trainer.on("begin_epoch", when=lambda t, s: s.epoch == 1)(lambda t, state: break_(logger))
    state = trainer.fit(batches(), epochs=3)
    assert (state.outcome, state.step) == ("completed", 9)
    assert logger not in trainer.handlers
    assert kind.outcomes(tmp_path) == [kind.told("completed")]
    assert ends(kind, tmp_path) == [kind.ends["cancelled"]]
    assert f"{kind.name}.after_epoch failed" in caplog.text


def break_(logger):
    def refuse(row):
        raise OSError("the disk is full")

    logger._write = refuse


def test_an_error_while_closing_does_not_end_the_fit(kind_of_files, tmp_path, caplog):
    logger = kind_of_files.make(tmp_path)
    closed = logger._close

    def refuse(outcome):
        closed(outcome)
        raise OSError("the disk is full")

    trainer = trainer_of(logger)
    logger._close = refuse
    trainer.on("begin_epoch", when=lambda t, s: s.epoch == 1)(lambda t, state: break_(logger))
    assert trainer.fit(batches(), epochs=2).outcome == "completed"
    assert logger not in trainer.handlers
    assert "could not close its run" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


def test_training_and_random_numbers_are_the_same_bit_for_bit(kind, tmp_path):
    logger = kind.make(tmp_path, every=1)
    seen = []
    for handlers in ((), (logger,)):
        random.seed(1)
        numpy.random.seed(1)
        torch.manual_seed(1)
        trainer = trainer_of(*handlers)
        trainer.fit(batches(), batches(), epochs=2)
        torch_after = torch.get_rng_state().tolist()
        numpy_after = numpy.random.get_state()[1].tolist()
        seen.append((weights(trainer), torch_after, numpy_after, random.getstate()))
    (ours, *generators), (theirs, *others) = seen
    assert equal(ours, theirs)
    assert generators == others


@pytest.mark.parametrize(
    ("every", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_wrong_values_of_every_are_refused(kind, tmp_path, every, error):
    with pytest.raises(
        error, match=rf"{kind.name}\(every={every}\): (found a \w+; )?allowed: an int, from 1"
    ):
        kind.make(tmp_path, every=every)


@pytest.mark.parametrize("kind", TRACKERS, indirect=True)
def test_without_its_library_the_error_names_the_extra(kind, tmp_path, monkeypatch):
    library = kind.name.lower()
    for name in list(sys.modules):
        if name.partition(".")[0] == library:
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(ImportError, match=rf"^{kind.name} needs {library}: pip .*\[{library}\]'$"):
        kind.make(tmp_path)


def test_works_on_a_hand_made_state(kind, tmp_path):
    logger, state = kind.make(tmp_path), state_of(epoch=4, step=20, samples=80, metrics={"m": 1.5})
    logger.after_epoch(None, state)
    logger.after_fit(None, state)
    (run,) = kind.read(tmp_path)
    (outcome,) = kind.told("completed")
    row = {"epoch": 4, "step": 20, "samples": 80, "m": 1.5, "outcome": outcome}
    assert run.epochs == [row]


@every_cancel
@early_or_late
def test_after_any_cancel_each_epoch_has_one_row_and_each_step_a_loss(
    kind_of_files, tmp_path, signal, scope, early
):
    logger = kind_of_files.make(tmp_path, every=1)
    trainer = cancelled_fit(logger, signal, scope, early)
    assert trainer.handlers == [logger]
    runs = kind_of_files.read(tmp_path)
    steps = [step for run in runs for step, _ in run.losses]
    assert steps == list(range(1, trainer.state.step + 1))
    assert [len(run.epochs) for run in runs] in ([], [trainer.state.epoch + 1])
    trainer.fit(batches(), epochs=2)
    *before, last = kind_of_files.read(tmp_path)
    assert before == [run for run in runs if run.epochs or kind_of_files.name == "TensorBoard"]
    assert column(last.epochs, "outcome") == ["completed", "completed"]


@pytest.mark.parametrize("kind", ["MLflow", "WandB"], indirect=True)
@pytest.mark.parametrize("scope", CANCELS)
def test_after_any_cancel_a_tracker_has_every_epoch_and_an_end(kind, tmp_path, scope):
    trainer = cancelled_fit(kind.make(tmp_path), f"begin_{scope}", scope, early=True)
    (run,) = kind.read(tmp_path) or [Run([], [], kind.ends["cancelled"])]
    assert column(run.epochs, "epoch") == list(range(trainer.state.epoch + 1))
    assert run.end == kind.ends["cancelled" if scope == "fit" else "completed"]


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from helpers import batches, trainer_of
from trackside.handlers.logging.csv_logger import CSVLogger
from trackside.handlers.logging.json_lines import JSONLines
from trackside.handlers.logging.tensorboard import TensorBoard

trainer = trainer_of(CSVLogger("log.csv"), JSONLines("log.jsonl"), TensorBoard("runs"))

@trainer.on("begin_epoch", when=lambda t, s: s.epoch == 2)
def die(trainer, state):
    os.kill(os.getpid(), signal.SIGKILL)

trainer.fit(batches(), epochs=3)
"""


def test_a_killed_process_loses_no_written_row(tmp_path):
    tests = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    done = run_forked([sys.executable, "-c", KILLED, tests], cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert column(csv_rows(tmp_path / "log.csv"), "epoch") == ["0", "1"]
    assert column(json_rows(tmp_path / "log.jsonl"), "epoch") == [0, 1]
    assert scalars(tmp_path / "runs" / "fit_0")["epoch"] == [(3, 0.0), (6, 1.0)]


def test_no_library_is_imported_before_its_logger_is_created():
    code = """
import sys
import trackside.handlers.logging.mlflow
import trackside.handlers.logging.tensorboard
import trackside.handlers.logging.wandb
print([name for name in ("mlflow", "tensorboard", "wandb") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_to_python_converts_tensors_and_arrays():
    assert to_python(torch.tensor([[0.5], [1.0]])) == [[0.5], [1.0]]
    assert to_python(torch.tensor([0.5])) == 0.5
    assert type(to_python(numpy.float32(0.5))) is float
    assert to_python(torch.empty(2, device="meta")) is None
    assert to_python("text") == "text"


def test_a_metric_named_like_a_counter_does_not_replace_it(kind_of_files, tmp_path):
    trainer = trainer_of(kind_of_files.make(tmp_path))
    trainer.on("after_train")(lambda t, state: state.metrics.update(step=99, outcome="mine", fit=7))
    trainer.fit(batches())
    (run,) = kind_of_files.read(tmp_path)
    assert (run.epochs[0]["step"], run.epochs[0]["outcome"]) == (3, "completed")


def test_scalar_values_are_only_numbers():
    row = {"fit": 1, "step": 2, "epoch": 3, "a": True, "b": [1], "c": "text", "d": None, "e": 0.5}
    assert scalar_values(row) == {"epoch": 3.0, "a": 1.0, "e": 0.5}
