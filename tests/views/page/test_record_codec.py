import base64
import zlib

from hypothesis import given
from hypothesis import strategies as st

from trackside.views.page.record_codec import pack_records

WORD = st.integers(0, 2**64 - 1)


def unpack_records(text):
    """The inverse, as the script of the page computes it."""
    planes = zlib.decompress(base64.b64decode(text))
    count = len(planes) // 16
    rows = [planes[plane * count : (plane + 1) * count] for plane in range(16)]
    raw = bytes(byte for record in zip(*rows, strict=True) for byte in record)
    time, records = 0, b""
    for at in range(0, len(raw), 16):
        time = (time + int.from_bytes(raw[at : at + 8], "little")) % 2**64
        records += time.to_bytes(8, "little") + raw[at + 8 : at + 16]
    return records


@given(st.lists(st.tuples(WORD, WORD)))
def test_unpacking_packed_records_returns_the_same_bytes(records):
    data = b"".join(word.to_bytes(8, "little") for record in records for word in record)
    assert unpack_records(pack_records(data)) == data
