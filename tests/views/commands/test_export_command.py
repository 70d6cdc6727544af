import csv
import json
import subprocess
import sys
from collections import Counter

import pytest
from helpers import CANCELS, batches, raise_at, trainer_of
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from trackside.handlers import EMA, Metrics, Recorder
from trackside.handlers.recording.format import Kind
from trackside.views import Recording, totals


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recordings of two ranks, each with a cancelled batch, a name, and the times of receivers."""
    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        for rank in (0, 1):
            patch.setenv("RANK", str(rank))
            recorder = Recorder(folder / "run.loop", timing=True, scalars=2, name="=run")
            trainer = trainer_of(EMA(), Metrics(), recorder)
            raise_at(trainer, "after_loss", CANCELS["batch"])
            trainer.fit(batches(6 + rank), batches(2), epochs=2)
    return folder


@pytest.fixture(scope="module")
def exported(folder, run_in):
    """A function that exports the folder, and returns the bytes of the file with this suffix."""

    def export(suffix):
        done = run_in(folder, "export", folder, "-o", folder / f"run{suffix}")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"wrote {folder / f'run{suffix}'}\n"
        return (folder / f"run{suffix}").read_bytes()

    return export


@pytest.fixture(scope="module")
def recordings(folder):
    return [Recording(folder / f"run.rank{rank}.loop") for rank in (0, 1)]


def leaves_entered(recording):
    """How often each leaf phase of a run was entered, by the last part of its path."""
    counts = Counter()
    for phase, total in totals(recording).phases.items():
        if "." in phase:
            counts[phase.rpartition(".")[2]] += total.count
    return counts


def opened_scopes(recording):
    """How often each scope was opened, by name: the count of its begin_ signal."""
    counts = Counter()
    for entry, total in totals(recording).transitions.items():
        if entry.trigger.startswith("begin_"):
            counts[entry.trigger.removeprefix("begin_")] += total.count
    return counts


def received(recording):
    counts = Counter()
    for entry, total in totals(recording).receivers.items():
        counts[entry.name] += total.count
    return counts


def test_a_perfetto_trace_contains_every_record(exported, recordings):
    trace = Trace()
    trace.ParseFromString(exported(".pftrace"))
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in trace.packet}
    processes = {u: t for u, t in tracks.items() if t.HasField("process")}
    assert [t.process.process_name.split(" on ")[0] for t in processes.values()] == [
        "=run rank 0",
        "=run rank 1",
    ]
    for process, recording in zip(processes, recordings, strict=True):
        own = {u: t.name for u, t in tracks.items() if t.parent_uuid == process}
        events = [p.track_event for p in trace.packet if p.track_event.track_uuid in own]
        begins = {lane: Counter() for lane in own.values()}
        for event in events:
            if event.type == TrackEvent.TYPE_SLICE_BEGIN:
                begins[own[event.track_uuid]][event.name] += 1
        assert begins["phases"] == leaves_entered(recording) + opened_scopes(recording)
        assert begins["receivers"] == received(recording)
        kinds = Counter(event.type for event in events)
        assert kinds[TrackEvent.TYPE_SLICE_BEGIN] == kinds[TrackEvent.TYPE_SLICE_END]
        records = Counter(record.kind for record in recording.records())
        assert kinds[TrackEvent.TYPE_INSTANT] == records[Kind.CANCEL] == 1
        assert kinds[TrackEvent.TYPE_COUNTER] == records[Kind.SCALAR]


def test_the_slices_of_a_perfetto_trace_nest_and_have_wall_clock_times(exported, recordings):
    trace = Trace()
    trace.ParseFromString(exported(".pftrace"))
    depth, time = Counter(), {}
    for packet in trace.packet:
        event = packet.track_event
        if not packet.HasField("track_event"):
            continue
        assert packet.timestamp >= time.get(event.track_uuid, 0)
        time[event.track_uuid] = packet.timestamp
        depth[event.track_uuid] += {1: 1, 2: -1}.get(event.type, 0)
        assert depth[event.track_uuid] >= 0
    assert set(depth.values()) == {0}
    last = max(packet.timestamp for packet in trace.packet)
    newest = max(recordings[1].records(), key=lambda record: record.number)
    assert last / 1e9 == pytest.approx(recordings[1].meta.wall(newest.time_ns), abs=1e-6)


def test_a_chrome_trace_contains_every_record(exported, recordings):
    events = json.loads(exported(".json"))["traceEvents"]
    for process, recording in enumerate(recordings):
        own = [event for event in events if event["pid"] == process]
        lanes = [
            Counter(e["name"] for e in own if e["ph"] == "B" and e["tid"] == lane)
            for lane in (0, 1)
        ]
        assert lanes[0] == leaves_entered(recording) + opened_scopes(recording)
        assert lanes[1] == received(recording)
        kinds = Counter(event["ph"] for event in own)
        assert kinds["B"] == kinds["E"]
        records = Counter(record.kind for record in recording.records())
        assert (kinds["i"], kinds["C"]) == (records[Kind.CANCEL], records[Kind.SCALAR])
        stamps = [event["ts"] for event in own if event["ph"] != "M"]
        assert stamps == sorted(stamps)


def test_a_csv_file_has_a_line_for_each_record(exported, recordings):
    rows = list(csv.DictReader(exported(".csv").decode().splitlines()))
    for rank, recording in enumerate(recordings):
        own = [row for row in rows if row["rank"] == str(rank)]
        records = list(recording.records())
        assert [int(row["number"]) for row in own] == [record.number for record in records]
        assert Counter(row["kind"] for row in own) == Counter(r.kind.name.lower() for r in records)
        losses = [float(row["value"]) for row in own if row["name"] == "loss"]
        assert losses == pytest.approx([s.value for s in recording.scalars() if s.name == "loss"])
    first = next(row for row in rows if row["kind"] == "transition")
    assert (first["name"], first["source"], first["destination"]) == (
        "begin_fit",
        "idle",
        "fit.ready",
    )


@pytest.fixture(scope="module")
def rows_of(folder, run_in):
    """A function that exports one table of the folder, and returns its rows."""

    def rows(table):
        out = folder / f"{table}.csv"
        done = run_in(folder, "export", folder, "-o", out, "--table", table)
        assert done.returncode == 0, done.stderr
        return list(csv.DictReader(out.read_text().splitlines()))

    return rows


def test_the_table_metrics_has_every_metric_of_each_rank(rows_of, recordings):
    rows = rows_of("metrics")
    assert [*rows[0]] == ["run", "rank", "metric", "seconds", "epoch", "step", "value"]
    for rank, recording in enumerate(recordings):
        own = [row for row in rows if row["rank"] == str(rank)]
        points = recording.metrics()
        assert points
        assert [(row["metric"], int(row["epoch"]), int(row["step"])) for row in own] == [
            (point.name, point.epoch, point.step) for point in points
        ]
        assert [float(row["value"]) for row in own] == pytest.approx([p.value for p in points])


def test_the_table_times_has_every_phase_and_handler_of_each_rank(rows_of, recordings):
    rows = rows_of("times")
    assert [*rows[0]][2:] == ["what", "name", "signal", "module", "count", "seconds"]
    for rank, recording in enumerate(recordings):
        own = [row for row in rows if row["rank"] == str(rank)]
        sums = totals(recording)
        counts = {row["name"]: int(row["count"]) for row in own if row["what"] == "phase"}
        assert counts == {path: one.count for path, one in sums.phases.items() if one.count}
        times = {
            (row["name"], row["signal"], row["module"]): float(row["seconds"])
            for row in own
            if row["what"] == "handler"
        }
        assert times
        assert times == pytest.approx({tuple(k): v.seconds for k, v in sums.receivers.items()})


def test_a_table_is_refused_for_a_file_that_is_not_csv(refused, folder):
    message = refused("export", folder, "-o", "run.json", "--table", "times")
    assert "--table times is for a .csv file, and run.json is none" in message


def test_no_csv_cell_is_a_formula_for_a_spreadsheet(exported):
    rows = csv.reader(exported(".csv").decode().splitlines())
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@"))]


def test_a_trace_of_a_wrapped_ring_is_nested_and_closed(tmp_path, run_in):
    trainer = trainer_of(EMA(), Recorder(tmp_path / "run.loop", records=256, timing=True))
    trainer.fit(batches(6), batches(2), epochs=9)
    done = run_in(tmp_path, "export", "run.loop", "-o", "run.json")
    assert done.returncode == 0, done.stderr
    depth = Counter()
    for event in json.loads((tmp_path / "run.json").read_bytes())["traceEvents"]:
        depth[event.get("tid")] += {"B": 1, "E": -1}.get(event["ph"], 0)
        assert depth[event.get("tid")] >= 0
    assert set(depth.values()) == {0}


@pytest.mark.parametrize("name", ["run.pdf", "run", ".json"])
def test_another_suffix_is_refused_with_the_allowed_ones(refused, folder, name):
    message = refused("export", folder, "-o", name)
    assert "allowed: .pftrace for Perfetto, .json for Chrome" in message


def test_an_unwritable_path_is_refused(refused, folder, tmp_path):
    assert "cannot write" in refused("export", folder, "-o", tmp_path / "no" / "run.json")


def test_without_perfetto_the_error_names_the_extra(folder, tmp_path):
    code = (
        "import sys; sys.modules['perfetto'] = None; "
        "from trackside.views.commands.main import main; "
        f"sys.exit(main(['export', {str(folder)!r}, '-o', 'run.pftrace']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        "trackside: a Perfetto trace needs perfetto: pip install 'trackside[perfetto]'\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == []
