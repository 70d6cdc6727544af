import json

import pytest
from helpers import batches, trainer_of
from recordings import recorded
from watched import MARKUP, NamedLikeMarkup

from trackside.handlers import Recorder
from trackside.handlers.recording.format import RECORD_BYTES
from trackside.views import Recording, RecordingError, totals
from trackside.views.page.recording_feed import RecordingFeed


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.loop"


def test_first_update_has_all_records_and_the_next_has_none(path):
    recorded(path, timing=True).close()
    feed = RecordingFeed(path)
    first = feed.update(0)
    with Recording(path) as recording:
        assert first.next == recording.end == len(first.records) // RECORD_BYTES
        expected = totals(recording)
    counts = sorted(total.count for total in expected.transitions.values())
    assert sorted(count for _, count, _ in first.message["totals"]["transitions"]) == counts
    assert first.message["live"]["status"] == "ended"
    assert first.message["lost"] is False
    again = feed.update(first.next)
    assert (again.records, again.message["table"], again.next) == (b"", [], first.next)
    feed.close()


def test_update_has_at_most_the_requested_number_of_records(path):
    recorded(path, epochs=4).close()
    feed = RecordingFeed(path)
    position, records = 0, b""
    while part := (update := feed.update(position, most=50)).records:
        assert len(part) <= 50 * RECORD_BYTES
        position, records = update.next, records + part
    assert records == RecordingFeed(path).update(0).records


def test_each_update_tells_how_many_records_are_left(path):
    recorded(path, epochs=4).close()
    feed = RecordingFeed(path)
    with Recording(path) as recording:
        end = recording.end
    first = feed.update(0, most=50).message
    assert (first["count"], first["left"]) == (50, end - 50)
    last = feed.update(end - 7).message
    assert (last["count"], last["left"]) == (7, 0)


def test_nothing_is_left_of_a_file_that_was_cut(path):
    recorded(path, epochs=4).close()
    with Recording(path) as recording:
        ring_at = recording.layout.ring_at
    with path.open("r+b") as file:
        file.truncate(ring_at)
    update = RecordingFeed(path).update(0)
    assert (update.records, update.message["left"]) == (b"", 0)


def test_new_table_entries_are_sent_once(path):
    trainer = trainer_of(Recorder(path, timing=True))
    trainer.fit(batches(2), epochs=1)
    feed = RecordingFeed(path)
    first = feed.update(0)
    trainer.attach(NamedLikeMarkup())
    trainer.fit(batches(2), epochs=1)
    second = feed.update(first.next)
    assert [line[2] for line in second.message["table"]] == [f"{MARKUP}.after_batch"]


def test_overwritten_records_are_reported_as_lost_and_totals_stay_exact(path):
    trainer = trainer_of(Recorder(path, records=256))
    trainer.fit(batches(2), epochs=1)
    feed = RecordingFeed(path)
    position = feed.update(0).next
    trainer.fit(batches(10), epochs=5)
    update = feed.update(position)
    assert update.message["lost"]
    assert len(update.records) < 256 * RECORD_BYTES
    with Recording(path) as recording:
        taken = sum(total.count for total in totals(recording).transitions.values())
    assert sum(count for _, count, _ in update.message["totals"]["transitions"]) == taken


def test_a_recording_that_replaces_another_has_a_different_run_id(path):
    recorded(path).close()
    feed = RecordingFeed(path)
    before = feed.run
    assert not feed.replaced
    recorded(path).close()
    assert feed.replaced
    assert RecordingFeed(path).run != before


def test_messages_can_be_encoded_as_json(path):
    recorded(path, timing=True).close()
    feed = RecordingFeed(path)
    json.dumps([feed.begin(), feed.update(0).message], allow_nan=False)


def test_a_file_that_is_not_a_recording_raises(path):
    path.write_text("nothing")
    with pytest.raises(RecordingError, match="cannot read"):
        RecordingFeed(path)
