import pytest
from helpers import state_of, trainer_of

from trackside.handlers.recording._device_time import DeviceTimes
from trackside.handlers.recording._mapped_file import RecordingFile
from trackside.handlers.recording._ring_writer import RingWriter
from trackside.handlers.recording._run_metadata import run_metadata
from trackside.handlers.recording._scalar_records import ScalarWriter
from trackside.views import Recording


class Event:
    """Like a CUDA event, of a device whose clock advances one millisecond at each record."""

    now = 0
    waited = 0

    def record(self):
        Event.now += 1
        self.time = Event.now

    def synchronize(self):
        Event.waited += 1

    def elapsed_time(self, later):
        return later.time - self.time


@pytest.fixture
def times(tmp_path):
    Event.now = Event.waited = 0
    file = RecordingFile(tmp_path / "run.loop", run_metadata(trainer_of(), "run", "events"), 65536)
    return DeviceTimes(ScalarWriter(file, RingWriter(file)), Event)


def marked(times, phases):
    for phase in phases:
        times.marking_writer(phase, lambda trainer, state: None)(None, None)


def written(times, tmp_path):
    times.write(state_of(epoch=3, step=7))
    with Recording(tmp_path / "run.loop") as recording:
        return {s.name: s.value for s in recording.scalars()}


def test_the_time_between_two_marks_belongs_to_the_phase_that_ends(times, tmp_path):
    marked(times, ["idle", "fit.a", "fit.b", "fit.a"])
    assert written(times, tmp_path) == {
        "device seconds in fit.a": pytest.approx(0.002),
        "device seconds in fit.b": pytest.approx(0.001),
    }


def test_no_time_is_lost_or_counted_twice_over_many_marks(times, tmp_path):
    total = 0.0
    for _ in range(3):
        marked(times, ["fit.a"] * 10_000)
        total += written(times, tmp_path)["device seconds in fit.a"]
    assert total == pytest.approx(3 * 10 - 0.001, rel=1e-5)
    assert len(times._marks) == 1


def test_without_a_mark_nothing_is_written_and_nothing_waited_for(times, tmp_path):
    assert written(times, tmp_path) == {}
    assert Event.waited == 0


def test_it_waits_for_the_device_once_for_each_write(times, tmp_path):
    marked(times, ["fit.a"] * 4000)
    assert Event.waited == 0
    written(times, tmp_path)
    assert Event.waited == 1
