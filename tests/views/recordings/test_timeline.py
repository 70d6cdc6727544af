import json
from collections import Counter

from helpers import CANCELS, batches, raise_at, trainer_of
from hypothesis import given
from hypothesis import strategies as st
from recordings import recorded

from trackside.handlers import EMA, Recorder
from trackside.handlers.recording.format import Kind
from trackside.views import Recording
from trackside.views.recordings.records import Record
from trackside.views.recordings.symbol_table import Table
from trackside.views.recordings.timeline import Closed, Moment, Opened, Sample, walk


def table_of(transitions=(), receivers=()):
    table = Table()
    table.add(b'["scalar", 1, "loss"]')
    for kind, entries in (("transition", transitions), ("receiver", receivers)):
        for identity, entry in enumerate(entries, 1):
            assert table.add(json.dumps([kind, identity, *entry]).encode())
    return table


MOVES = [
    ("begin_fit", "idle", "fit.ready", 0),
    ("begin_batch", "fit.ready", "fit.batch.run", 1),
    ("after_batch", "fit.batch.run", "fit.ready", 2),
    ("after_fit", "fit.ready", "completed", 3),
]


def test_a_transition_closes_what_it_leaves_and_opens_what_it_enters():
    records = [Record(n, 10 * n, Kind.TRANSITION, n, 0) for n in (1, 2, 3, 4)]
    assert list(walk(records, table_of(MOVES))) == [
        Opened(10, "phases", "fit"),
        Opened(10, "phases", "ready"),
        Closed(20, "phases"),
        Opened(20, "phases", "batch"),
        Opened(20, "phases", "run"),
        Closed(30, "phases"),
        Closed(30, "phases"),
        Opened(30, "phases", "ready"),
        Closed(40, "phases"),
        Closed(40, "phases"),
    ]


def test_what_is_open_at_the_end_is_closed_at_the_last_record():
    records = [
        Record(0, 10, Kind.TRANSITION, 2, 0),
        Record(1, 20, Kind.BEGIN_RECEIVER, 1, 0),
    ]
    found = list(walk(records, table_of(MOVES, [("f", "begin_batch", "m")])))
    assert found[-4:] == [Closed(20, "receivers"), *[Closed(20, "phases")] * 3]


def test_the_end_of_a_receiver_whose_begin_is_lost_is_left_out():
    records = [Record(0, 10, Kind.END_RECEIVER, 1, 0)]
    assert list(walk(records, table_of(receivers=[("f", "begin_batch", "m")]))) == []


def test_a_cancel_is_a_moment_and_a_scalar_a_sample(tmp_path):
    trainer = trainer_of(EMA(), Recorder(tmp_path / "run.loop", timing=True, scalars=1))
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(3))
    with Recording(tmp_path / "run.loop") as recording:
        found = list(walk(recording.records(), recording.table))
    (moment,) = [h for h in found if isinstance(h, Moment)]
    assert moment.kind == "cancel"
    assert "at after_loss" in moment.text
    assert Counter(h.name for h in found if isinstance(h, Sample)) == {"loss": 3, "lr": 3}


records_of_any_kind = st.lists(
    st.builds(
        Record,
        number=st.just(0),
        time_ns=st.integers(0, 2**64 - 1),
        kind=st.sampled_from(Kind),
        id=st.integers(0, 6),
        argument=st.integers(0, 2**32 - 1),
    )
)


@given(records_of_any_kind)
def test_whatever_is_recorded_each_lane_nests_and_closes(records):
    table = table_of(MOVES, [("f", "begin_batch", "m"), ("g", "begin_batch", "m")])
    depth = Counter()
    for happening in walk(records, table):
        if isinstance(happening, (Opened, Closed)):
            depth[happening.lane] += 1 if isinstance(happening, Opened) else -1
            assert depth[happening.lane] >= 0
    assert set(depth.values()) <= {0}


def test_of_a_ring_that_has_lost_its_beginning_the_first_transition_opens_its_path(tmp_path):
    with recorded(tmp_path / "run.loop", epochs=20, records=256, scalars=None) as recording:
        first = next(recording.records())
        path = recording.table.transition(first.id).destination.split(".")
        found = list(walk(recording.records(), recording.table))
    assert [h.name for h in found[: len(path)]] == path
