import os
import signal
import time

import pytest
from helpers import CANCELS, batches, raise_at, trainer_of
from recordings import recorded, started

from trackside.handlers import Recorder
from trackside.views import Recording, status


def test_before_the_first_run_a_recording_waits(tmp_path):
    trainer_of(Recorder(tmp_path / "run.loop"))
    with Recording(tmp_path / "run.loop") as recording:
        found = status(recording)
    assert found.condition == "waiting"
    assert (found.phase, str(found)) == ("", "no run has begun")


def test_inside_a_run_it_is_running_and_says_where(tmp_path):
    seen = []

    def look(trainer, state):
        with Recording(tmp_path / "run.loop") as recording:
            seen.append(status(recording))

    trainer = trainer_of(Recorder(tmp_path / "run.loop"))
    trainer.on("begin_backward", when=lambda _, state: state.batch_index == 1)(look)
    trainer.fit(batches(3), epochs=1)
    (found,) = seen
    assert found.condition == "running"
    assert found.phase == "fit.epoch.train.batch.backward.run"
    assert found.scopes == ["fit", "epoch", "train", "batch", "backward"]
    assert (found.counters.epoch, found.counters.batch, found.counters.n_batches) == (0, 1, 3)
    assert str(found).endswith("epoch 0 of 0 to 0, batch 1 of 0 to 2")


def test_an_ended_run_says_how_it_ended(tmp_path):
    with recorded(tmp_path / "run.loop") as recording:
        found = status(recording)
    assert (found.condition, found.phase, str(found)) == ("ended", "completed", "completed")


def test_a_cancelled_run_says_who_cancelled_it_and_why(tmp_path):
    trainer = trainer_of(Recorder(tmp_path / "run.loop"))
    raise_at(trainer, "after_loss", CANCELS["fit"])
    trainer.fit(batches(3))
    found = status(Recording(tmp_path / "run.loop"))
    assert (found.condition, found.phase) == ("ended", "cancelled")
    assert "CancelFitException('at after_loss') raised by handler raiser" in str(found)


def test_a_failed_run_says_what_was_raised(tmp_path):
    trainer = trainer_of(Recorder(tmp_path / "run.loop"))

    @trainer.on("after_loss")
    def fails(trainer, state):
        raise ValueError("of no use")

    with pytest.raises(ValueError, match="of no use"):
        trainer.fit(batches(3))
    found = status(Recording(tmp_path / "run.loop"))
    assert (found.condition, found.phase) == ("ended", "failed")
    assert found.reason == "ValueError: of no use"


def test_a_cancelled_batch_is_forgotten_when_the_next_begins(tmp_path):
    trainer = trainer_of(Recorder(tmp_path / "run.loop"))
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(3))
    assert status(Recording(tmp_path / "run.loop")).reason == ""


def test_of_a_killed_process_it_tells_phase_receiver_epoch_and_batch(tmp_path):
    path = tmp_path / "run.loop"
    process = started(path, "__import__('os').kill(__import__('os').getpid(), 9)")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    found = status(Recording(path))
    assert found.condition == "died"
    assert found.phase == "fit.epoch.train.batch.forward"
    assert found.receiver == "Tells.begin_batch"
    assert (found.counters.epoch, found.counters.batch) == (2, 5)
    assert (found.counters.n_epochs, found.counters.n_batches) == (10, 7)
    assert found.counters.step == 2 * 7 + 5
    assert str(found) == (
        "died in fit › epoch › train › batch › forward, called Tells.begin_batch, "
        "epoch 2 of 0 to 9, batch 5 of 0 to 6"
    )


def test_a_killed_process_that_nobody_has_waited_for_is_dead(tmp_path):
    path = tmp_path / "run.loop"
    process = started(path, "__import__('time').sleep(600)")
    assert status(Recording(path)).condition == "running"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert status(Recording(path)).condition == "died"
    process.communicate()


def test_a_stopped_process_is_stuck_after_ten_times_the_usual_stay(tmp_path):
    path = tmp_path / "run.loop"
    process = started(path, "__import__('time').sleep(600)")
    with Recording(path) as recording:
        deadline = time.monotonic() + 300
        while not status(recording).stuck and time.monotonic() < deadline:
            time.sleep(0.05)
        found = status(recording)
    assert found.stuck
    assert found.usual is not None
    assert found.idle > 10 * found.usual
    assert str(found).startswith("stuck in fit › epoch")
    process.kill()
    process.communicate()


def test_another_process_with_the_same_id_is_not_the_one_that_recorded(tmp_path):
    path = tmp_path / "run.loop"
    process = started(path, "__import__('time').sleep(600)")
    started_at = Recording(path).meta.started
    process.kill()
    process.communicate()
    own = str(os.getpid()).zfill(7)  # a number of as many digits, so that the file keeps its sizes
    with path.open("r+b") as file:
        text = file.read()
        place = text.index(b'"pid": ') + len(b'"pid": ')
        width = len(str(process.pid))
        if len(str(os.getpid())) == width:
            file.seek(place)
            file.write(own[-width:].encode())
    assert Recording(path).meta.started == started_at
    assert status(Recording(path)).condition == "died"


def test_a_recording_of_another_machine_cannot_tell_whether_its_process_runs(tmp_path):
    path = tmp_path / "run.loop"
    process = started(path, "__import__('time').sleep(600)")
    meta = Recording(path).meta
    content = path.read_bytes()
    elsewhere = content.replace(meta.host.encode(), b"x" * len(meta.host), 1)
    elsewhere = elsewhere.replace(meta.boot.encode(), b"0" * len(meta.boot), 1)
    (tmp_path / "copy.loop").write_bytes(elsewhere)
    found = status(Recording(tmp_path / "copy.loop"))
    process.kill()
    process.communicate()
    assert found.condition == "away"
    assert str(found).startswith("was last in fit › epoch › train › batch › forward")
