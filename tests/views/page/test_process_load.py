import sys

from recordings import recorded

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
