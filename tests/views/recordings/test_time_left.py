import pytest
import torch
from helpers import batches, model, trainer_of
from recordings import recorded
from torch import nn

from trackside import GradientAccumulation, Trainer
from trackside.engine import SUPERVISED, update
from trackside.handlers import Recorder
from trackside.views import Recording, status, totals
from trackside.views.commands.main import main
from trackside.views.recordings.time_left import time_left


def looked_at(path, look, *handlers, at=(1, 2), epochs=4):
    """What `look` returns of the recording of a fit while that runs."""
    seen = []

    def call(trainer, state):
        with Recording(path) as recording:
            seen.append(look(recording))

    trainer = trainer_of(*handlers, Recorder(path))
    here = lambda _, state: (state.epoch, state.batch_index) == at  # noqa: E731
    trainer.on("begin_batch", when=here)(call)
    trainer.fit(batches(6), epochs=epochs)
    [found] = seen
    return found


def left_and_seconds(recording):
    current = totals(recording)
    return time_left(status(recording), current, recording.meta.round), current.seconds


def test_the_time_left_is_that_of_the_updates_so_far(tmp_path):
    left, seconds = looked_at(tmp_path / "run.loop", left_and_seconds)
    assert left == pytest.approx(seconds * (24 - 8) / 8)


def test_steps_that_accumulation_cancels_are_no_updates(tmp_path):
    accumulate = GradientAccumulation(3)
    left, seconds = looked_at(tmp_path / "run.loop", left_and_seconds, accumulate, at=(1, 3))
    assert left == pytest.approx(seconds * (8 - 3) / 3)


def test_of_several_optimizers_it_is_that_of_the_rounds(tmp_path):
    models = {"a": model(), "b": model()}
    recorder = Recorder(tmp_path / "run.loop")
    trainer = Trainer(
        models=models,
        optimizers={name: torch.optim.SGD(net.parameters(), 0.1) for name, net in models.items()},
        loss_fns=dict.fromkeys(models, nn.CrossEntropyLoss()),
        handlers=[recorder],
        chart=SUPERVISED.cut("validate").replace("batch", update("one", "a"), update("two", "b")),
    )
    found = []

    def look(trainer, state):
        with Recording(recorder.path) as recording:
            found.append(left_and_seconds(recording))

    trainer.on("begin_one", when=lambda _, state: (state.epoch, state.batch_index) == (2, 3))(look)
    trainer.fit(batches(6), epochs=4)
    [(left, seconds)] = found
    assert left == pytest.approx(seconds * (4 - 2.5) / 2.5)


def test_before_an_update_and_after_the_end_it_is_not_known(tmp_path):
    left, _ = looked_at(tmp_path / "run.loop", left_and_seconds, at=(0, 0))
    assert left is None
    with recorded(tmp_path / "ended.loop") as recording:
        assert left_and_seconds(recording)[0] is None


def test_the_status_of_a_running_fit_says_the_time_left(tmp_path, capsys):
    looked_at(tmp_path / "run.loop", lambda recording: main(["status", str(recording.path)]))
    line = capsys.readouterr().out
    assert "epoch 2 of 4, batch 3 of 6, about " in line
    assert line.endswith(" left\n")
