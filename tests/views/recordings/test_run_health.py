import dataclasses
import os
import signal
import subprocess
import time

import pytest
from helpers import CANCELS, batches, raise_at, trainer_of
from recordings import recorded, started

from trackside.handlers import Recorder
from trackside.views import Recording, status


def test_the_status_before_the_first_run_is_waiting(tmp_path):
    trainer_of(Recorder(tmp_path / "run.loop"))
    with Recording(tmp_path / "run.loop") as recording:
        now = status(recording)
    assert now.condition == "waiting"
    assert (now.phase, str(now)) == ("", "no run has begun")


def test_the_status_inside_a_run_is_running_with_its_phase(tmp_path):
    statuses = []

    def look(trainer, state):
        with Recording(tmp_path / "run.loop") as recording:
            statuses.append(status(recording))

    trainer = trainer_of(Recorder(tmp_path / "run.loop"))
    trainer.on("begin_backward", when=lambda _, state: state.batch_index == 1)(look)
    trainer.fit(batches(3), epochs=1)
    (now,) = statuses
    assert now.condition == "running"
    assert now.phase == "fit.epoch.train.batch.backward.run"
    assert now.scopes == ["fit", "epoch", "train", "batch", "backward"]
    assert (now.counters.epoch, now.counters.batch, now.counters.n_batches) == (0, 1, 3)
    assert str(now).endswith("epoch 1 of 1, batch 2 of 3")


def test_the_status_of_an_ended_run_has_its_outcome(tmp_path):
    with recorded(tmp_path / "run.loop") as recording:
        now = status(recording)
    assert (now.condition, now.phase, str(now)) == ("ended", "completed", "completed")


def test_the_status_of_a_cancelled_run_has_origin_and_reason(tmp_path):
    trainer = trainer_of(Recorder(tmp_path / "run.loop"))
    raise_at(trainer, "after_loss", CANCELS["fit"])
    trainer.fit(batches(3))
    now = status(Recording(tmp_path / "run.loop"))
    assert (now.condition, now.phase) == ("ended", "cancelled")
    assert "CancelFitException('at after_loss') raised by handler raiser" in str(now)


def test_the_status_of_a_failed_run_has_its_error(tmp_path):
    trainer = trainer_of(Recorder(tmp_path / "run.loop"))

    @trainer.on("after_loss")
    def fails(trainer, state):
        raise ValueError("of no use")

    with pytest.raises(ValueError, match="of no use"):
        trainer.fit(batches(3))
    now = status(Recording(tmp_path / "run.loop"))
    assert (now.condition, now.phase) == ("ended", "failed")
    assert now.reason == "ValueError: of no use"


def test_the_reason_of_a_cancelled_batch_is_cleared_by_the_next_batch(tmp_path):
    trainer = trainer_of(Recorder(tmp_path / "run.loop"))
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(3))
    assert status(Recording(tmp_path / "run.loop")).reason == ""


def test_the_status_of_a_killed_process_has_phase_receiver_and_counters(tmp_path):
    path = tmp_path / "run.loop"
    process = started(path, "__import__('os').kill(__import__('os').getpid(), 9)")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    now = status(Recording(path))
    assert now.condition == "died"
    assert now.phase == "fit.epoch.train.batch.forward"
    assert now.receiver == "Tells.begin_batch"
    assert (now.counters.epoch, now.counters.batch) == (2, 5)
    assert (now.counters.n_epochs, now.counters.n_batches) == (10, 7)
    assert now.counters.step == 2 * 7 + 5
    assert str(now) == (
        "died in fit › epoch › train › batch › forward, called Tells.begin_batch, "
        "epoch 3 of 10, batch 6 of 7"
    )


def test_a_zombie_process_has_died(tmp_path):
    path = tmp_path / "run.loop"
    process = started(path, "__import__('time').sleep(600)", subprocess.Popen)
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
        now = status(recording)
    assert now.stuck
    assert now.usual is not None
    assert now.idle > 10 * now.usual
    assert str(now).startswith("stuck in fit › epoch")
    process.kill()
    process.communicate()


def test_a_first_stay_in_a_phase_is_stuck_after_a_minute(tmp_path):
    with recorded(tmp_path / "run.loop", epochs=1) as recording:
        ended = status(recording)
    first = [
        dataclasses.replace(ended, condition="running", usual=None, idle=idle)
        for idle in (59.0, 61.0)
    ]
    assert [one.stuck for one in first] == [False, True]


def test_another_process_with_the_same_id_is_not_mistaken_for_the_run(tmp_path):
    path = tmp_path / "run.loop"
    process = started(path, "__import__('time').sleep(600)")
    started_at = Recording(path).meta.started
    process.kill()
    process.communicate()
    own = str(os.getpid()).zfill(7)  # as many digits, so that the sizes in the file stay valid
    with path.open("r+b") as file:
        text = file.read()
        offset = text.index(b'"pid": ') + len(b'"pid": ')
        width = len(str(process.pid))
        if len(str(os.getpid())) == width:
            file.seek(offset)
            file.write(own[-width:].encode())
    assert Recording(path).meta.started == started_at
    assert status(Recording(path)).condition == "died"


def test_the_status_of_a_recording_from_another_machine_is_away(tmp_path):
    path = tmp_path / "run.loop"
    process = started(path, "__import__('time').sleep(600)")
    meta = Recording(path).meta
    content = path.read_bytes()
    elsewhere = content.replace(meta.host.encode(), b"x" * len(meta.host), 1)
    elsewhere = elsewhere.replace(meta.boot.encode(), b"0" * len(meta.boot), 1)
    (tmp_path / "copy.loop").write_bytes(elsewhere)
    now = status(Recording(tmp_path / "copy.loop"))
    process.kill()
    process.communicate()
    assert now.condition == "away"
    assert str(now).startswith("last seen in fit › epoch › train › batch › forward")


def test_a_fit_has_died_where_its_machine_was_started_again(tmp_path):
    path = tmp_path / "run.loop"
    process = started(path, "__import__('time').sleep(600)")
    with Recording(path) as recording:
        boot = recording.meta.boot
        assert status(recording).condition == "running"
    path.write_bytes(path.read_bytes().replace(boot.encode(), b"0" * len(boot), 1))
    with Recording(path) as recording:
        assert status(recording).condition == "died"
    process.kill()
    process.communicate()
