import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import recorded
from shown import TEXTS, Shows

from trackside.handlers.recording.format import HEAD_BYTES, LIVE_AT, RECORD_BYTES, Layout, Live
from trackside.views import Recording, totals

sizes = st.builds(
    Layout,
    meta_bytes=st.integers(1, 2**20),
    table_bytes=st.integers(1, 2**20),
    transitions=st.integers(1, 2**16),
    receivers=st.integers(1, 2**16),
    records=st.integers(1, 2**26),
    points=st.integers(1, 2**14),
    picture_bytes=st.integers(1, 2**24),
)


@given(sizes)
def test_unpack_returns_the_packed_layout(layout):
    assert Layout.unpack(layout.pack()) == layout


@given(sizes)
def test_the_parts_are_in_order_and_aligned_to_8_bytes(layout):
    places = [HEAD_BYTES, layout.table_at, layout.totals_at, layout.receivers_at]
    places += [layout.points_at, layout.pictures_at, layout.ring_at]
    assert places == sorted(places)
    assert all(place % 8 == 0 for place in places)
    assert layout.file_bytes == layout.ring_at + layout.records * RECORD_BYTES
    assert layout.table_at - HEAD_BYTES >= layout.meta_bytes
    assert layout.totals_at - layout.table_at >= layout.table_bytes


def as_version_1(content):
    """The bytes of a recording as the first version of the format has them."""
    layout = Layout.unpack(content[:HEAD_BYTES])
    head = struct.pack("<16s6Q", content[:16], 1, *layout[:5]).ljust(LIVE_AT, b"\0")
    return head + content[LIVE_AT : layout.points_at] + content[layout.ring_at :]


def test_a_file_of_version_1_is_still_read(tmp_path):
    with recorded(tmp_path / "run.loop", scalars=1) as recording:
        now, records, scalars = totals(recording), [*recording.records()], [*recording.scalars()]
        assert len(recording.metrics()) == len(scalars)
    (tmp_path / "old.loop").write_bytes(as_version_1((tmp_path / "run.loop").read_bytes()))
    with Recording(tmp_path / "old.loop") as old:
        assert (totals(old), [*old.records()], old.metrics()) == (now, records, scalars)


def as_version_2(content):
    """The bytes of a recording as the second version of the format has them."""
    layout = Layout.unpack(content[:HEAD_BYTES])
    head = struct.pack("<16s7Q", content[:16], 2, *layout[:6]).ljust(LIVE_AT, b"\0")
    return head + content[LIVE_AT : layout.pictures_at] + content[layout.ring_at :]


def test_a_file_of_version_2_is_still_read(tmp_path):
    shows = Shows(texts=TEXTS)
    with recorded(tmp_path / "run.loop", shows, scalars=1) as recording:
        assert len(recording.pictures()) == 2
        now, records, metrics = totals(recording), [*recording.records()], recording.metrics()
    (tmp_path / "old.loop").write_bytes(as_version_2((tmp_path / "run.loop").read_bytes()))
    with Recording(tmp_path / "old.loop") as old:
        assert (totals(old), [*old.records()], old.metrics()) == (now, records, metrics)
        assert old.pictures() == []


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(head):
    with pytest.raises(ValueError, match="does not begin as a recording"):
        Layout.unpack(head)


@given(sizes, st.integers(0, 5), st.integers(2**26 + 1, 2**64 - 1))
def test_an_invalid_size_is_refused(layout, field, size):
    head = bytearray(layout.pack())
    struct.pack_into("<Q", head, 24 + 8 * field, size)
    with pytest.raises(ValueError, match=f"{Layout._fields[field]}={size}; allowed: 1 to"):
        Layout.unpack(bytes(head))


def test_the_head_leaves_room_for_the_live_words():
    assert len(Layout(1, 1, 1, 1, 1, 1, 1).pack()) <= LIVE_AT
    assert LIVE_AT + 8 * len(Live) <= HEAD_BYTES
