import base64
import zlib

from hypothesis import given
from hypothesis import strategies as st

from trackside.views.page.record_codec import packed

WORD = st.integers(0, 2**64 - 1)


def unpacked(text):
    """The inverse, as the page does it."""
    planes = zlib.decompress(base64.b64decode(text))
    count = len(planes) // 16
    rows = [planes[plane * count : (plane + 1) * count] for plane in range(16)]
    raw = bytes(byte for record in zip(*rows, strict=True) for byte in record)
    time, found = 0, b""
    for at in range(0, len(raw), 16):
        time = (time + int.from_bytes(raw[at : at + 8], "little")) % 2**64
        found += time.to_bytes(8, "little") + raw[at + 8 : at + 16]
    return found


@given(st.lists(st.tuples(WORD, WORD)))
def test_what_was_packed_can_be_unpacked(records):
    data = b"".join(word.to_bytes(8, "little") for record in records for word in record)
    assert unpacked(packed(data)) == data
