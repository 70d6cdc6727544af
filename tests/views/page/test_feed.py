import json

import pytest
from helpers import batches, trainer_of
from recordings import recorded
from watched import MARKUP, Named

from trackside.handlers import Recorder
from trackside.handlers.recording.format import RECORD_BYTES
from trackside.views import Recording, RecordingError, totals
from trackside.views.page.feed import Feed


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.loop"


def test_the_first_update_has_everything_and_the_next_one_nothing(path):
    recorded(path, timing=True).close()
    feed = Feed(path)
    first = feed.update(0)
    with Recording(path) as recording:
        assert first.next == recording.end == len(first.records) // RECORD_BYTES
        found = totals(recording)
    counts = sorted(total.count for total in found.transitions.values())
    assert sorted(count for _, count, _ in first.message["totals"]["transitions"]) == counts
    assert first.message["live"]["status"] == "ended"
    assert first.message["lost"] is False
    again = feed.update(first.next)
    assert (again.records, again.message["table"], again.next) == (b"", [], first.next)
    feed.close()


def test_an_update_holds_a_bounded_number_of_records(path):
    recorded(path, epochs=4).close()
    feed = Feed(path)
    place, records = 0, b""
    while part := (update := feed.update(place, most=50)).records:
        assert len(part) <= 50 * RECORD_BYTES
        place, records = update.next, records + part
    assert records == Feed(path).update(0).records


def test_new_names_come_once_when_they_are_new(path):
    trainer = trainer_of(Recorder(path, timing=True))
    trainer.fit(batches(2), epochs=1)
    feed = Feed(path)
    first = feed.update(0)
    trainer.attach(Named())
    trainer.fit(batches(2), epochs=1)
    then = feed.update(first.next)
    assert [line[2] for line in then.message["table"]] == [f"{MARKUP}.after_batch"]


def test_what_the_ring_has_overwritten_is_told_as_lost_and_the_totals_are_exact(path):
    trainer = trainer_of(Recorder(path, records=256))
    trainer.fit(batches(2), epochs=1)
    feed = Feed(path)
    place = feed.update(0).next
    trainer.fit(batches(10), epochs=5)
    update = feed.update(place)
    assert update.message["lost"]
    assert len(update.records) < 256 * RECORD_BYTES
    with Recording(path) as recording:
        made = sum(total.count for total in totals(recording).transitions.values())
    assert sum(count for _, count, _ in update.message["totals"]["transitions"]) == made


def test_another_recording_at_the_path_has_another_name(path):
    recorded(path).close()
    feed = Feed(path)
    before = feed.run
    assert not feed.replaced
    recorded(path).close()
    assert feed.replaced
    assert Feed(path).run != before


def test_all_that_is_told_is_json(path):
    recorded(path, timing=True).close()
    feed = Feed(path)
    json.dumps([feed.begin(), feed.update(0).message], allow_nan=False)


def test_what_is_no_recording_is_said(path):
    path.write_text("nothing")
    with pytest.raises(RecordingError, match="cannot read"):
        Feed(path)
