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
from trackside.views.recordings.symbol_table import SymbolTable
from trackside.views.recordings.timeline import (
    CounterSample,
    Instant,
    SliceBegin,
    SliceEnd,
    timeline_events,
)


def table_of(transitions=(), receivers=()):
    table = SymbolTable()
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
    assert list(timeline_events(records, table_of(MOVES))) == [
        SliceBegin(10, "phases", "fit"),
        SliceBegin(10, "phases", "ready"),
        SliceEnd(20, "phases"),
        SliceBegin(20, "phases", "batch"),
        SliceBegin(20, "phases", "run"),
        SliceEnd(30, "phases"),
        SliceEnd(30, "phases"),
        SliceBegin(30, "phases", "ready"),
        SliceEnd(40, "phases"),
        SliceEnd(40, "phases"),
    ]


def test_a_receiver_that_ends_closes_those_within_whose_end_an_interrupt_has_left_out():
    records = [
        Record(0, 10, Kind.BEGIN_RECEIVER, 1, 0),
        Record(1, 20, Kind.BEGIN_RECEIVER, 2, 0),
        Record(2, 30, Kind.END_RECEIVER, 1, 0),
        Record(3, 40, Kind.END_RECEIVER, 2, 0),
    ]
    receivers = [("Outer.after_loss", "after_loss", "m"), ("Inner.after_loss", "after_loss", "m")]
    assert list(timeline_events(records, table_of(receivers=receivers))) == [
        SliceBegin(10, "receivers", "Outer.after_loss"),
        SliceBegin(20, "receivers", "Inner.after_loss"),
        SliceEnd(30, "receivers"),
        SliceEnd(30, "receivers"),
    ]


def test_open_slices_are_closed_at_the_last_record():
    records = [
        Record(0, 10, Kind.TRANSITION, 2, 0),
        Record(1, 20, Kind.BEGIN_RECEIVER, 1, 0),
    ]
    events = list(timeline_events(records, table_of(MOVES, [("f", "begin_batch", "m")])))
    assert events[-4:] == [SliceEnd(20, "receivers"), *[SliceEnd(20, "phases")] * 3]


def test_the_end_of_a_receiver_without_its_begin_is_ignored():
    records = [Record(0, 10, Kind.END_RECEIVER, 1, 0)]
    assert list(timeline_events(records, table_of(receivers=[("f", "begin_batch", "m")]))) == []


def test_a_cancel_is_an_instant_and_a_scalar_is_a_sample(tmp_path):
    trainer = trainer_of(EMA(), Recorder(tmp_path / "run.loop", timing=True, scalars=1))
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(3))
    with Recording(tmp_path / "run.loop") as recording:
        events = list(timeline_events(recording.records(), recording.table))
    (instant,) = [event for event in events if isinstance(event, Instant)]
    assert instant.kind == "cancel"
    assert "at after_loss" in instant.text
    assert Counter(event.name for event in events if isinstance(event, CounterSample)) == {
        "loss": 3,
        "lr": 3,
    }


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
def test_the_slices_of_any_records_nest_and_are_closed(records):
    table = table_of(MOVES, [("f", "begin_batch", "m"), ("g", "begin_batch", "m")])
    depth = Counter()
    for event in timeline_events(records, table):
        if isinstance(event, (SliceBegin, SliceEnd)):
            depth[event.lane] += 1 if isinstance(event, SliceBegin) else -1
            assert depth[event.lane] >= 0
    assert set(depth.values()) <= {0}


def test_the_first_transition_of_a_wrapped_ring_opens_its_whole_path(tmp_path):
    with recorded(tmp_path / "run.loop", epochs=20, records=256, scalars=None) as recording:
        first = next(recording.records())
        path = recording.table.transition(first.id).destination.split(".")
        events = list(timeline_events(recording.records(), recording.table))
    assert [event.name for event in events[: len(path)]] == path
