import os
import sys

import pynvml
import pytest
from recordings import recorded, started

from trackside.handlers.recording import process_identity
from trackside.views import Recording
from trackside.views.page.process_load import ProcessLoad
from trackside.views.page.recording_feed import RecordingFeed


def meta_of_this_process(tmp_path):
    with recorded(tmp_path / "run.loop") as recording:
        return recording.meta


def test_the_memory_and_the_processors_of_the_recorded_process_are_sampled(tmp_path):
    load = ProcessLoad(meta_of_this_process(tmp_path))
    sum(range(10**6))
    sample = load.sample()
    assert sample["memory"] > 50e6
    assert sample["processors"] >= 0


def test_another_process_with_the_same_id_is_not_sampled(tmp_path):
    meta = meta_of_this_process(tmp_path)
    assert ProcessLoad(meta._replace(started=meta.started + 1)).sample() == {}
    assert ProcessLoad(meta._replace(boot="another")).sample() == {}


def test_without_psutil_there_is_no_sample(tmp_path, monkeypatch):
    meta = meta_of_this_process(tmp_path)
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert ProcessLoad(meta).sample() == {}


def test_a_running_fit_is_sampled_with_its_status_and_an_ended_one_is_not(tmp_path):
    path = tmp_path / "run.loop"
    seen = []

    class Looks:
        def after_loss(self, trainer, state):
            if not seen:
                feed = RecordingFeed(path)
                seen.append(feed.update(0).message["live"]["load"])
                feed.close()

    recorded(path, Looks()).close()
    assert seen[0]["memory"] > 50e6
    feed = RecordingFeed(path)
    assert feed.update(0).message["live"]["load"] == {}
    feed.close()


def nvml_works():
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


@pytest.mark.skipif(nvml_works(), reason="the driver of a GPU is installed")
def test_without_a_driver_nvml_raises_and_the_sample_has_no_gpu(tmp_path):
    with pytest.raises(pynvml.NVMLError):
        pynvml.nvmlInit()
    assert {*ProcessLoad(meta_of_this_process(tmp_path)).sample()} == {"processors", "memory"}


def test_of_several_gpus_the_busiest_is_told_and_the_memory_is_added_up(tmp_path, monkeypatch):
    """The driver is not there: its functions are replaced, its structures are the real ones."""

    def processes(device):
        found = pynvml.c_nvmlProcessInfo_t
        pids = {0: [os.getpid(), 1], 1: [os.getpid()], 2: [1]}[device]
        return [found(pid=pid, usedGpuMemory=1000 * (device + 1)) for pid in pids]

    driver = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 3,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetComputeRunningProcesses": processes,
        "nvmlDeviceGetUtilizationRates": lambda device: pynvml.c_nvmlUtilization_t(
            gpu=(30, 80, 99)[device]
        ),
    }
    for name, function in driver.items():
        monkeypatch.setattr(pynvml, name, function)
    sample = ProcessLoad(meta_of_this_process(tmp_path)).sample()
    assert (sample["gpu"], sample["gpu_memory"]) == (0.8, 3000)


def test_a_process_that_has_ended_is_sampled_no_more(tmp_path, monkeypatch):
    process = started(tmp_path / "run.loop", "__import__('time').sleep(600)")
    with Recording(tmp_path / "run.loop") as recording:
        meta = recording.meta
    load = ProcessLoad(meta)
    assert load.sample()["memory"] > 1e6
    process.kill()
    process.communicate()
    assert load.sample() == {}
    assert load.sample() == {}
    monkeypatch.setattr(process_identity, "start_time", lambda pid: meta.started)
    assert ProcessLoad(meta).sample() == {}  # it has ended after the look at its start
