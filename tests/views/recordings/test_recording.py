import itertools
import json
import os
import struct
import subprocess
import sys
import threading
import tracemalloc

import pytest
from helpers import batches, trainer_of
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import recorded

from trackside.handlers import EMA, Metrics, Recorder
from trackside.handlers.recording.format import (
    HEAD_BYTES,
    LIVE_AT,
    RECORD,
    RECORD_BYTES,
    Kind,
    Layout,
    Live,
    record_tag,
)
from trackside.views import Recording, RecordingError, status, totals
from trackside.views.recordings.comparison import compare
from trackside.views.recordings.timeline import timeline_events
from trackside.views.terminal.top_view import TopView


class Content(bytes):
    """The content of a file; a failure report does not print its bytes."""

    def __repr__(self):
        return f"the {len(self)} bytes of a recording"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def whole(folder):
    """The bytes of a recording whose ring has wrapped."""
    recorded(folder / "run.loop", EMA(), epochs=20, records=512, timing=True, scalars=3)
    return Content((folder / "run.loop").read_bytes())


def everything(path):
    """Read everything in a recording, by all readers."""
    with Recording(path) as recording:
        records = list(recording.records())
        sums = totals(recording)
        read = (sums.phases, sums.rows, sums.seconds, str(status(recording)))
        events = list(timeline_events(records, recording.table))
        shown = (str(compare([recording], [recording])), TopView(recording).render(100))
        return records, read, list(recording.scalars()), recording.counters, events, shown


def readable(path):
    """The records of a file; None if it is refused."""
    try:
        return everything(path)[0]
    except RecordingError as error:
        message = str(error)
    assert message.startswith(f"cannot read {path}: ")
    return None


def test_consecutive_chunks_contain_every_record_once(folder, whole):
    with Recording(folder / "run.loop") as recording:
        start, chunks = 0, []
        while start < recording.end:
            chunks.append(recording.chunk(start, most=100))
            start = chunks[-1].end
        assert {len(chunk.data) for chunk in chunks[1:-1]} == {100 * RECORD_BYTES}
        assert all(chunk.data in whole and chunk.rejected == 0 for chunk in chunks)
        assert (chunks[0].first, chunks[-1].end) == (recording.start, recording.end)
        numbers = [record.number for chunk in chunks for record in chunk.records()]
        assert numbers == list(range(recording.start, recording.end))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin as a recording does"),
        (b"\x89PNG\r\n\x1a\n" + bytes(5000), "does not begin as a recording does"),
        (b"no recording at all\n" * 500, "does not begin as a recording does"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(RecordingError, match=message) as refused:
        Recording(tmp_path / "file")
    assert str(tmp_path / "file") in str(refused.value)


def test_a_path_that_is_not_a_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in [
        (tmp_path / "pipe", "it is not a regular file"),
        (tmp_path, "it is not a regular file"),
        (tmp_path / "nothing", "No such file"),
        ("/dev/zero", "it is not a regular file"),
    ]:
        with pytest.raises(RecordingError, match=message):
            Recording(path)


def test_another_format_version_is_refused(tmp_path, whole):
    (tmp_path / "run.loop").write_bytes(whole[:16] + struct.pack("<Q", 7) + whole[24:])
    with pytest.raises(RecordingError, match="version 7 of the format; allowed: 1"):
        Recording(tmp_path / "run.loop")


@pytest.mark.parametrize("field", range(5))
@pytest.mark.parametrize("size", [0, 2**63, 2**64 - 1])
def test_impossible_sizes_are_refused_before_any_allocation(tmp_path, whole, field, size):
    offset = 24 + 8 * field
    (tmp_path / "run.loop").write_bytes(
        whole[:offset] + struct.pack("<Q", size) + whole[offset + 8 :]
    )
    with pytest.raises(RecordingError, match=f"={size}; allowed: 1 to"):
        Recording(tmp_path / "run.loop")


def test_the_largest_allowed_ring_is_read_at_once_if_it_is_missing(tmp_path, whole):
    huge = whole[:56] + struct.pack("<Q", 2**26) + whole[64:]
    live = LIVE_AT + 8 * Live.WRITTEN
    (tmp_path / "run.loop").write_bytes(huge[:live] + struct.pack("<Q", 2**63) + huge[live + 8 :])
    assert everything(tmp_path / "run.loop")[0] == []


def test_a_large_ring_without_a_transition_is_read_with_little_memory(tmp_path, whole):
    """Its head counts no record; each of a million slots has a valid one of another kind."""
    slots = 2**20
    head = bytearray(whole)
    with Recording(forged_file(tmp_path, head, slots)) as recording:
        tracemalloc.start()
        began = status(recording)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert recording.end <= 2**18
    assert began.condition == "waiting"
    assert peak < 64 * 2**20, "bytes"


def forged_file(folder, content, slots):
    """A recording with a ring of `slots` records of a receiver that is called."""
    layout = Layout.unpack(bytes(content[:HEAD_BYTES]))._replace(records=slots)
    content[: len(layout.pack())] = layout.pack()
    content[LIVE_AT : LIVE_AT + 8] = bytes(8)
    record = RECORD.pack(1, record_tag(Kind.BEGIN_RECEIVER, 1), 0)
    (folder / "forged.loop").write_bytes(bytes(content[: layout.ring_at]) + record * slots)
    return folder / "forged.loop"


@pytest.mark.parametrize("number", [2**53, 2**63, 2**64 - 2])
def test_a_counter_that_no_fit_reaches_is_unknown(tmp_path, whole, number):
    content = bytearray(whole)
    for live in {*Live} - {Live.WRITTEN, Live.TABLE_BYTES, Live.CLOSED}:
        struct.pack_into("<Q", content, LIVE_AT + 8 * live, number)
    (tmp_path / "run.loop").write_bytes(content)
    with Recording(tmp_path / "run.loop") as recording:
        assert set(recording.counters) == {None}


@pytest.mark.parametrize(
    "meta",
    [b"{}", b"[]", b"null", b'{"rows": 3}', b"[" * 100_000, b'{"rows": [["a", {}, "b"]]}', b"\xff"],
)
def test_invalid_meta_data_is_refused(tmp_path, whole, meta):
    (size,) = struct.unpack_from("<Q", whole, 24)
    text = meta[:size].ljust(size)
    (tmp_path / "run.loop").write_bytes(whole[:HEAD_BYTES] + text + whole[HEAD_BYTES + size :])
    with pytest.raises(RecordingError, match="its meta data"):
        Recording(tmp_path / "run.loop")


@pytest.mark.parametrize(
    "change",
    [{"pid": "1"}, {"wall_ns": 10**30}, {"rank": 1.5}, {"name": 5}, {"timing": 1}, {"more": 1}],
)
def test_meta_data_with_wrong_types_is_refused(tmp_path, folder, whole, change):
    with Recording(folder / "run.loop") as recording:
        meta = recording.meta._asdict() | {"rows": [["a", "b", "c"]]} | change
    (size,) = struct.unpack_from("<Q", whole, 24)
    text = json.dumps(meta).encode().ljust(size)
    (tmp_path / "run.loop").write_bytes(whole[:HEAD_BYTES] + text + whole[HEAD_BYTES + size :])
    with pytest.raises(RecordingError, match="its meta data"):
        Recording(tmp_path / "run.loop")


@settings(max_examples=60)
@given(cut=st.integers(min_value=0))
def test_a_truncated_file_gives_its_remaining_records_or_an_error(folder, whole, cut):
    path = folder / "cut.loop"
    path.write_bytes(whole[: cut % len(whole)])
    full = {record.number: record for record in everything(folder / "run.loop")[0]}
    records = readable(path)
    assert records is None or all(full[record.number] == record for record in records)


@settings(max_examples=120)
@given(data=st.data())
def test_a_file_with_flipped_bytes_gives_records_or_an_error(folder, whole, data):
    content = bytearray(whole)
    head_or_any = st.integers(0, HEAD_BYTES + 3000) | st.integers(0, len(whole) - 1)
    offsets = data.draw(st.lists(head_or_any, min_size=1, max_size=20))
    for offset in offsets:
        content[offset] = data.draw(st.integers(0, 255))
    path = folder / "flipped.loop"
    path.write_bytes(content)
    numbers = [record.number for record in readable(path) or ()]
    assert numbers == sorted({*numbers})


@settings(max_examples=50)
@given(noise=st.binary(min_size=1, max_size=1600), at=st.integers(min_value=0))
def test_records_before_noise_in_the_ring_are_intact(folder, whole, noise, at):
    ring = len(whole) - 512 * RECORD_BYTES
    offset = ring + at % (len(whole) - ring - len(noise))
    content = bytearray(whole)
    content[offset : offset + len(noise)] = noise
    path = folder / "noise.loop"
    path.write_bytes(content)
    hit = range(
        (offset - ring) // RECORD_BYTES, (offset + len(noise) - 1 - ring) // RECORD_BYTES + 1
    )
    full = everything(folder / "run.loop")[0]
    before = [*itertools.takewhile(lambda record: record.number % 512 not in hit, full)]
    remaining = [record for record in readable(path) if record.number >= full[0].number]
    assert remaining[: len(before)] == before


def half_written(whole, folder, half, old_half):
    """The bytes of a recording in which half of a record is from the lap before."""
    ring = len(whole) - 512 * RECORD_BYTES
    with Recording(folder / "run.loop") as recording:
        number = recording.end - 100
    offset = ring + number % 512 * RECORD_BYTES + half * 8
    return number, whole[:offset] + old_half + whole[offset + 8 :]


def test_a_record_with_the_time_of_the_lap_before_is_rejected(tmp_path, folder, whole):
    records = {record.number: record for record in everything(folder / "run.loop")[0]}
    oldest = records[min(records)]
    number, content = half_written(whole, folder, 0, struct.pack("<Q", oldest.time_ns - 1))
    (tmp_path / "torn.loop").write_bytes(content)
    assert set(records) - {r.number for r in everything(tmp_path / "torn.loop")[0]} == {number}


def test_a_record_with_the_kind_of_the_lap_before_is_rejected(tmp_path, folder, whole):
    records = {record.number: record for record in everything(folder / "run.loop")[0]}
    any_number = next(n for n, record in records.items() if record.kind == Kind.TRANSITION)
    lap_before = (any_number // 512 - 1) & 0xFFF
    word = Kind.TRANSITION << 28 | lap_before << 16 | records[any_number].id
    number, content = half_written(whole, folder, 1, struct.pack("<II", word, 0))
    (tmp_path / "torn.loop").write_bytes(content)
    assert set(records) - {r.number for r in everything(tmp_path / "torn.loop")[0]} == {number}


def test_a_reader_of_a_running_fit_sees_each_record_once_and_intact(tmp_path):
    recorder = Recorder(tmp_path / "run.loop", records=4096, scalars=None)
    trainer = trainer_of(recorder)
    records, rejected, done = [], [], threading.Event()

    def follow():
        with Recording(recorder.path) as recording:
            start = 0
            while not done.is_set() or start < recording.end:
                chunk = recording.chunk(start)
                records.extend(chunk.records())
                rejected.append(chunk.rejected)
                start = chunk.end

    reader = threading.Thread(target=follow)
    with Recording(recorder.path) as recording:

        @trainer.on("begin_epoch")
        def wait(trainer, state):  # the ring must not overtake a reader that gets no CPU time
            while recording.end - len(records) > 1024:
                assert reader.is_alive()

        reader.start()
        trainer.fit(batches(40), batches(10), epochs=40)
        done.set()
        reader.join()
        end, table = recording.end, recording.table
    assert end > 3 * 4096
    assert [record.number for record in records] == [*range(end)]
    assert sum(rejected) == 0
    for before, after in itertools.pairwise(records):
        left, entered = (table.transition(r.id) for r in (before, after))
        assert left.destination == entered.source


def test_new_lines_of_the_table_are_read_later(tmp_path):
    recorder = Recorder(tmp_path / "run.loop", scalars=1)
    trainer = trainer_of(recorder)
    with Recording(recorder.path) as recording:
        assert recording.table.scalars == {}
        trainer.fit(batches(2))
        assert {entry.name for entry in recording.table.scalars.values()} == {"loss", "lr"}


def test_a_full_table_gives_question_marks(tmp_path, monkeypatch):
    monkeypatch.setattr("trackside.handlers.recording._mapped_file.TABLE_BYTES", 2000)
    with recorded(tmp_path / "run.loop", scalars=1) as recording:
        table = recording.table
        triggers = {table.transition(r.id).trigger for r in recording.records() if r.kind == 1}
        assert "?" in triggers
        assert len(triggers) > 1
        assert recording.end > 50


def test_a_recording_is_read_without_torch():
    code = (
        "import sys; from trackside.views import Recording, status; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_recording_whose_file_is_replaced_or_deleted_says_so(tmp_path):
    path = tmp_path / "run.loop"
    with recorded(path) as recording:
        assert not recording.replaced
        path.rename(tmp_path / "old.loop")
        assert recording.replaced
        recorded(path).close()
        assert recording.replaced


def test_points_and_pictures_that_change_at_each_look_are_those_of_the_last_one_or_none(tmp_path):
    path = tmp_path / "run.loop"
    with recorded(path, Metrics()) as recording, path.open("r+b") as file:
        points, read = recording.metrics(), recording._read

        def changed_meanwhile(offset, size):
            """As if the writer were faster than this process, each time."""
            data = read(offset, size)
            for word in (Live.POINTS_CHANGES, Live.PICTURES):
                (before,) = struct.unpack("<Q", os.pread(file.fileno(), 8, LIVE_AT + 8 * word))
                now = struct.pack("<Q", before + 2)
                os.pwrite(file.fileno(), now, LIVE_AT + 8 * word)
            return data

        recording._read = changed_meanwhile
        assert points
        assert recording.metrics() == points
        assert recording.pictures() == []
