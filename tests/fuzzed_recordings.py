"""One damaged or forged recording for each seed, and all that read it.

`python tests/fuzzed_recordings.py SEED` prints what was done to the file, and reads it.
"""

import functools
import io
import json
import random
import struct
import sys
import tempfile
import tracemalloc
from pathlib import Path

from recordings import recorded
from shown import COUNTS, TEXTS, Shows

from trackside.handlers import EMA
from trackside.handlers.recording.format import HEAD_BYTES, LIVE_AT, RECORD_BYTES, Layout, Live
from trackside.views import Recording, RecordingError, status, totals
from trackside.views.exports.chrome_trace import write_chrome
from trackside.views.exports.csv_export import write_csv
from trackside.views.exports.perfetto_trace import write_perfetto
from trackside.views.page.recording_feed import RecordingFeed
from trackside.views.page.report import write_report
from trackside.views.page.shown_pictures import shown_pictures
from trackside.views.recordings.comparison import compare
from trackside.views.recordings.recording_index import RecordingIndex
from trackside.views.recordings.run_results import run_results
from trackside.views.terminal.top_view import TopView

EDGES = (0, 1, 63, 64, 255, 2**16 - 1, 2**16, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
"""Numbers at which readers are wrong, if they are."""
MOST_BYTES = 64 * 2**20
"""What all readers of one file together may allocate; the file has 1 MiB."""
SIZES_AT = 24
"""The first byte of the sizes in the head, behind the magic and the version."""


@functools.cache
def whole():
    """The bytes of a recording whose ring has wrapped, with receivers, scalars and pictures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.loop"
        recorded(
            path,
            EMA(),
            Shows(texts=TEXTS, counts=COUNTS),
            epochs=9,
            records=256,
            timing=True,
            scalars=3,
        ).close()
        return path.read_bytes()


class Fuzz:
    """The changes that a seed makes; each is told in `done`."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.content = bytearray(whole())
        self.layout = Layout.unpack(bytes(self.content[:HEAD_BYTES]))
        self.done = []
        for _ in range(self.draw.choice((1, 1, 1, 2, 3, 5))):
            change = self.draw.choice(CHANGES)
            self.done.append(f"{change.__name__}: {change(self)}")

    def place(self):
        """An offset, in each part of the file with the same probability."""
        layout, end = self.layout, len(self.content)
        starts = [0, HEAD_BYTES, layout.table_at, layout.totals_at]
        starts += [layout.points_at, layout.pictures_at, layout.ring_at, end]
        sizes = [LIVE_AT, layout.meta_bytes, 4000, 4000, 4000, 4000, end]
        part = self.draw.randrange(len(sizes))
        offset = starts[part] + self.draw.randrange(sizes[part])
        return min(offset, max(0, end - 1))

    def span(self):
        start = self.place()
        return start, start + self.draw.choice((1, 7, 8, 16, 100, 4096, 2**16))

    def flip(self):
        places = [self.place() for _ in range(self.draw.choice((1, 4, 30)))]
        for place in places:
            if place < len(self.content):
                self.content[place] ^= 1 << self.draw.randrange(8)
        return places

    def cut(self):
        place = self.place()
        del self.content[place:]
        return place

    def remove(self):
        start, stop = self.span()
        del self.content[start:stop]
        return start, stop

    def duplicate(self):
        start, stop = self.span()
        self.content[start:start] = self.content[start:stop]
        return start, stop

    def swap(self):
        size, first, second = self.draw.choice((8, 16, 512)), self.place(), self.place()
        if abs(first - second) >= size and max(first, second) + size <= len(self.content):
            a, b = slice(first, first + size), slice(second, second + size)
            self.content[a], self.content[b] = self.content[b], self.content[a]
        return size, first, second

    def forge_word(self):
        """Write an edge into a size of the head, a live word, or any word."""
        sizes = [SIZES_AT + 8 * n for n in range(len(Layout._fields))]
        live = [LIVE_AT + 8 * n for n in range(len(Live))]
        at = self.draw.choice((self.draw.choice(sizes), self.draw.choice(live), self.place() & ~7))
        number = self.draw.choice(EDGES)
        if at + 8 <= len(self.content):
            struct.pack_into("<Q", self.content, at, number)
        return at, number

    def forge_pictures(self):
        """Replace the text of the pictures by JSON that no recorder writes."""
        text = self.draw.choice(PICTURES)
        at = self.layout.pictures_at
        for half in (at, at + self.layout.picture_bytes):
            self.content[half : half + len(text)] = text
        at = LIVE_AT + 8 * Live.PICTURES
        if at + 8 <= len(self.content):
            struct.pack_into("<Q", self.content, at, 1 << 32 | len(text))
        return text

    def forge_line(self):
        """Replace a line of the table by JSON that no recorder writes."""
        at = self.layout.table_at
        stop = self.content.find(b"\n", at)
        line = self.draw.choice(LINES)
        self.content[at : at + len(line)] = line
        return stop, line

    def zero(self):
        start, stop = self.span()
        stop = min(stop, len(self.content))
        self.content[start:stop] = bytes(max(0, stop - start))
        return start, stop


CHANGES = (
    *(Fuzz.flip, Fuzz.cut, Fuzz.remove, Fuzz.duplicate, Fuzz.swap, Fuzz.forge_word),
    *(Fuzz.forge_word, Fuzz.forge_line, Fuzz.forge_pictures, Fuzz.zero),
)
_PLACE = b'{"name":"a","epoch":0,"step":1,"ns":2,'
PICTURES = (
    *(b"{}", b"[5]", b"[" * 9000, b"\xff", b"[" + _PLACE + b'"examples":[["a","b","c",1,1e999]]}]'),
    *(b"[" + _PLACE + b'"examples":[["a","b","c",null,1' + b"0" * 400 + b"]]}]",),
    *(b"[" + _PLACE + b'"classes":[NaN],"counts":[[1]]}]', b"[" + _PLACE + b'"examples":{"a":1}}]'),
)
LINES = (
    *(b"[]\n", b"{}\n", b"5\n", b"null\n", b"[[[[\n", b'["transition"]\n', b"\xff\xfe\n"),
    *(b'["scalar",1e999,"x"]\n', b'["scalar",-1,"x"]\n', b'["scalar",1,NaN]\n', b"[" * 3000),
    *(b'["receiver",1,2,3,4]\n', b'["transition",1,"a","b","c",99999999999999999999]\n'),
    *(b'["error",1,"</script>","\\u0000\\u202e"]\n', b'["cancel",65536,"a","b","c","d"]\n'),
)


EXPORTS = (write_chrome, write_csv, write_perfetto)


def read_all(path, seed):
    """Read everything in a recording; returns the numbers of its records."""
    with Recording(path) as recording:
        numbers = [record.number for record in recording.records()]
        sums = totals(recording)
        str((sums.phases, sums.rows, sums.seconds, status(recording), recording.counters))
        str((TopView(recording).render(100), list(recording.scalars())))
        str((compare([recording], [recording]), run_results(recording)))
        str((recording.metrics(), recording.picture_revision))
        EXPORTS[seed % len(EXPORTS)]([recording], io.BytesIO())
    json.dumps(shown_pictures(path), allow_nan=False)
    return numbers


def feed_all(path):
    """Read a recording as the page does; what it sends is JSON that each browser takes."""
    feed = RecordingFeed(path)
    try:
        json.dumps(feed.begin(), allow_nan=False)
        position = 0
        while (update := feed.update(position, most=100)).records:
            json.dumps(update.message, allow_nan=False)
            assert len(update.records) <= 100 * RECORD_BYTES
            assert update.next > position
            position = update.next
    finally:
        feed.close()


def attack(seed, folder):
    """Check that one file gives records, in order, or our error; at once, in little memory."""
    path = Path(folder) / "fuzzed.loop"
    path.write_bytes(Fuzz(seed).content)
    if seed % 8:  # counting the memory doubles the time
        refusal = read_by_all(path, seed)
    else:
        tracemalloc.start()
        try:
            refusal = read_by_all(path, seed)
            assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
        finally:
            tracemalloc.stop()
    assert refusal is None or refusal.startswith(f"cannot read {path}: ")


def read_by_all(path, seed):
    """The message of the error that refuses a file; None if there is none."""
    json.dumps(RecordingIndex([path]).entries(), allow_nan=False)
    try:
        numbers = read_all(path, seed)
        assert numbers == sorted({*numbers})
        feed_all(path)
        write_report([path], path.with_suffix(".html"))
    except RecordingError as error:
        return str(error)
    return None


if __name__ == "__main__":
    print(*Fuzz(int(sys.argv[1])).done, sep="\n")
    with tempfile.TemporaryDirectory() as scratch:
        attack(int(sys.argv[1]), scratch)
