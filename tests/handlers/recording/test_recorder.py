import gc
import itertools
import os
import stat
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
import torch
from helpers import CANCELS, Trace, batches, equal, raise_at, trainer_of, weights
from recordings import recorded

from trackside.handlers import EMA, Metrics, Recorder
from trackside.handlers.recording.format import Kind
from trackside.views import Recording, status, totals


def kinds(recording):
    return [record.kind for record in recording.records()]


def test_every_transition_of_a_fit_is_recorded_in_order(tmp_path):
    trace = Trace()
    with recorded(tmp_path / "run.loop", trace, scalars=None) as recording:
        table = recording.table
        triggers = [table.transition(record.id).trigger for record in recording.records()]
        times = [record.time_ns for record in recording.records()]
    assert triggers == trace.signals
    assert times == sorted(times)


def test_evaluation_runs_are_recorded_too(tmp_path):
    recorder, trace = Recorder(tmp_path / "run.loop", scalars=None), Trace()
    trainer = trainer_of(recorder, trace)
    trainer.validate(batches(2))
    trainer.predict(batches(2))
    with Recording(recorder.path) as recording:
        table = recording.table
        entries = [table.transition(record.id) for record in recording.records()]
    assert [entry.trigger for entry in entries] == trace.signals
    assert {entry.row for entry in entries} == {-1}


def test_totals_count_every_transition_and_all_the_time(tmp_path):
    trace = Trace()
    with recorded(tmp_path / "run.loop", trace, scalars=None) as recording:
        found, records = totals(recording), list(recording.records())
    by_trigger = Counter()
    for entry, total in found.transitions.items():
        by_trigger[entry.trigger] += total.count
    assert by_trigger == Counter(trace.signals)
    inside = sum(total.ns for entry, total in found.transitions.items() if "." in entry.source)
    assert inside == records[-1].time_ns - records[0].time_ns


def test_a_wrapped_ring_keeps_the_newest_records_and_all_totals(tmp_path):
    trace = Trace()
    path = tmp_path / "run.loop"
    with recorded(path, trace, epochs=30, scalars=None, records=256) as recording:
        assert recording.end == len(trace.signals) > 2 * 256
        table = recording.table
        kept = [table.transition(record.id).trigger for record in recording.records()]
        assert kept == trace.signals[-len(kept) :]
        assert 256 > len(kept) > 128
        assert sum(total.count for total in totals(recording).transitions.values()) == len(
            trace.signals
        )


def test_a_cancel_and_its_reason_follow_its_transition(tmp_path):
    trainer = trainer_of(Recorder(tmp_path / "run.loop", scalars=None))
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(3))
    with Recording(tmp_path / "run.loop") as recording:
        table, records = recording.table, list(recording.records())
    (place,) = [n for n, record in enumerate(records) if record.kind == Kind.CANCEL]
    assert table.transition(records[place - 1].id).trigger == "after_cancel_batch"
    cancel = table.cancel(records[place].id)
    assert (cancel.type, cancel.reason) == ("CancelBatchException", "at after_loss")
    assert cancel.raised_by == "handler raiser"
    assert cancel.raised_in == "fit.epoch.train.batch.scored"


def test_timing_puts_a_pair_of_records_around_each_receiver(tmp_path):
    with recorded(tmp_path / "run.loop", EMA(), timing=True, scalars=None) as recording:
        found, table = totals(recording).receivers, recording.table
        open_, names = [], Counter()
        for record in recording.records():
            if record.kind == Kind.BEGIN_RECEIVER:
                open_.append(record.id)
            elif record.kind == Kind.END_RECEIVER:
                assert record.id == open_.pop()
                names[table.receiver(record.id)] += 1
    assert not open_
    assert names == {entry: total.count for entry, total in found.items()}
    steps = next(total for entry, total in found.items() if entry.name == "EMA.after_step")
    assert steps.count == 10
    assert steps.ns > 0


def test_without_timing_no_receiver_is_wrapped(tmp_path):
    with recorded(tmp_path / "run.loop", EMA(), scalars=None) as recording:
        assert set(kinds(recording)) == {Kind.TRANSITION}


def test_a_receiver_that_raises_has_its_end_recorded(tmp_path):
    recorder = Recorder(tmp_path / "run.loop", timing=True, scalars=None)
    trainer = trainer_of(recorder)
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(3))
    with Recording(recorder.path) as recording:
        found = Counter(kinds(recording))
    assert found[Kind.BEGIN_RECEIVER] == found[Kind.END_RECEIVER] == 1


def test_a_fit_recorded_with_timing_has_the_weights_of_one_that_is_not(tmp_path):
    plain, watched = trainer_of(), trainer_of(Recorder(tmp_path / "run.loop", timing=True))
    for trainer in (plain, watched):
        trainer.fit(batches(5), batches(2), epochs=2)
    assert equal(weights(plain), weights(watched))


def test_loss_and_rate_are_recorded_at_their_cadence_and_metrics_each_epoch(tmp_path):
    losses = []
    recorder = Recorder(tmp_path / "run.loop", scalars=2)
    trainer = trainer_of(Metrics(), recorder)
    when = trainer.on("after_loss", when=lambda trainer, state: state.training)
    when(lambda trainer, state: losses.append(state.loss.item()))
    trainer.fit(batches(5), batches(2), epochs=2)
    with Recording(recorder.path) as recording:
        found = list(recording.scalars())
    read = [s.value for s in found if s.name == "loss"]
    assert read == pytest.approx(losses[1::2])
    assert [s.step for s in found if s.name == "loss"] == [2, 4, 6, 8, 10]
    assert [s.value for s in found if s.name == "lr"] == pytest.approx([0.1] * 5)
    by_epoch = {s.epoch: s.value for s in found if s.name == "valid_loss"}
    assert by_epoch[1] == pytest.approx(trainer.state.metrics["valid_loss"])


def test_no_tensor_is_read_where_a_device_has_no_values(tmp_path):
    with torch.device("meta"):
        net = torch.nn.Linear(5, 3)
    trainer = trainer_of(Recorder(tmp_path / "run.loop", scalars=None), net=net, device="meta")
    trainer.fit(batches(3), batches(2), epochs=2)
    assert trainer.state.outcome == "completed"


def test_the_file_is_its_owners_alone_and_nothing_is_left_beside_it(tmp_path):
    recorded(tmp_path / "deep" / "run.loop")
    (found,) = (tmp_path / "deep").iterdir()
    assert found.name == "run.loop"
    assert stat.S_IMODE(found.stat().st_mode) == 0o600


def test_another_recording_at_the_path_leaves_the_reader_of_the_first_alone(tmp_path):
    path = tmp_path / "run.loop"
    first = recorded(path, scalars=None)
    before = list(first.records())
    assert not first.replaced
    recorded(path, epochs=1, scalars=None)
    assert first.replaced
    assert list(first.records()) == before


def test_two_fits_are_in_one_recording(tmp_path):
    recorder = Recorder(tmp_path / "run.loop", scalars=None)
    trainer = trainer_of(recorder)
    trainer.fit(batches(2))
    trainer.fit(batches(2))
    with Recording(recorder.path) as recording:
        found = totals(recording)
    begun = [t.count for entry, t in found.transitions.items() if entry.trigger == "begin_fit"]
    assert begun == [1, 1]  # from idle, and from completed


def test_each_of_several_processes_has_a_file_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    recorder = Recorder(tmp_path / "run.loop")
    trainer_of(recorder).fit(batches(1))
    assert recorder.path == tmp_path / "run.rank3.loop"
    with Recording(recorder.path) as recording:
        assert (recording.meta.rank, recording.meta.world) == (3, 8)


def test_a_detached_recorder_writes_no_more_and_says_so(tmp_path):
    recorder = Recorder(tmp_path / "run.loop", timing=True)
    trainer = trainer_of(recorder)
    trainer.fit(batches(2))
    with Recording(recorder.path) as recording:
        before = recording.end
        assert not recording.closed
        trainer.detach(recorder)
        trainer.fit(batches(2))
        assert recording.closed
        assert recording.end == before
    assert trainer.instruments == ()


def test_a_fork_does_not_write_into_the_recording_of_its_parent(tmp_path, caplog):
    recorder = Recorder(tmp_path / "run.loop", scalars=None)
    trainer = trainer_of(recorder)
    trainer.fit(batches(2))
    with Recording(recorder.path) as recording:
        before = recording.end
        child = os.fork()
        if not child:
            trainer.fit(batches(2))
            os._exit(0 if recorder not in trainer.handlers else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert recording.end == before
        assert not recording.closed


def test_a_fit_that_goes_on_is_recorded_from_where_it_goes_on(tmp_path):
    trainer, saved = trainer_of(), []

    def saving(fetch):
        def fetch_and_save(state):
            if (state.epoch, state.batch_index) == (1, 1):
                saved.append(trainer.state_dict())
            return fetch(state)

        return fetch_and_save

    trainer.wrap("train.fetch", saving)
    trainer.fit(batches(4), epochs=3)
    path, seen = tmp_path / "run.loop", []
    other = trainer_of(Recorder(path, scalars=None))

    @other.on("begin_backward")
    def look(trainer, state):
        with Recording(path) as recording:
            seen.append((status(recording), next(recording.records())))

    other.fit(batches(4), epochs=3, resume=saved[0])
    found, record = seen[0]
    assert found.phase == "fit.epoch.train.batch.backward.run"
    assert (found.counters.epoch, found.counters.n_epochs, found.counters.batch) == (1, 3, 2)
    assert record.argument == 2


def test_device_times_need_a_device(tmp_path):
    if torch.cuda.is_available():
        trainer = trainer_of(Recorder(tmp_path / "run.loop", timing="events"), device="cuda")
        trainer.fit(batches(5), batches(2), epochs=2)
        with Recording(tmp_path / "run.loop") as recording:
            seconds = [s.value for s in recording.scalars() if s.name.endswith("batch.forward")]
        assert len(seconds) == 4
        assert min(seconds) > 0
    else:
        with pytest.raises(RuntimeError, match="PyTorch finds none; allowed: False, or True"):
            trainer_of(Recorder(tmp_path / "run.loop", timing="events"))


def test_while_batches_are_recorded_no_file_is_written_to_and_no_thread_begins(tmp_path):
    def written_and_threads(trainer, state):
        counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        seen.append((counts["syscw"], {*os.listdir("/proc/self/task")}))

    seen = []
    recorder = Recorder(tmp_path / "run.loop", timing=True, scalars=1)
    trainer = trainer_of(recorder, Metrics())
    trainer.on("begin_train")(written_and_threads)
    trainer.on("after_train")(written_and_threads)
    trainer.fit(batches(50), epochs=2)
    (written, threads), (written_later, threads_later) = seen[2:]  # torch's own begin before
    assert written_later == written
    assert threads_later <= threads  # one of another test may end meanwhile


def test_another_timing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"timing='sync'.*allowed: False, True, 'events'"):
        Recorder(tmp_path / "run.loop", timing="sync")


def test_memory_does_not_grow_with_what_is_recorded(tmp_path):
    trainer, sizes = trainer_of(Recorder(tmp_path / "run.loop", records=1024, timing=True)), {}

    @trainer.on("begin_batch", when=lambda trainer, state: state.batch_index in (300, 2300))
    def measure(trainer, state):
        gc.collect()
        sizes[state.batch_index] = tracemalloc.get_traced_memory()[0]

    batch = batches(1)[0]
    tracemalloc.start()
    trainer.fit(itertools.repeat(batch, 2301))
    tracemalloc.stop()
    assert sizes[2300] - sizes[300] < 2000 * 16, "bytes: the smallest object for each batch"
    with Recording(tmp_path / "run.loop") as recording:
        assert recording.end > 8 * 2300
        assert recording.layout.file_bytes == (tmp_path / "run.loop").stat().st_size


def test_a_recorder_records_one_trainer(tmp_path):
    recorder = Recorder(tmp_path / "run.loop")
    first = trainer_of(recorder)
    with pytest.raises(ValueError, match="records another trainer"):
        trainer_of(recorder)
    first.fit(batches(1))
    with Recording(recorder.path) as recording:
        assert recording.end > 0
        assert not recording.closed


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"records": 255}, ValueError),
        ({"records": 2**29}, ValueError),
        ({"records": 1e6}, TypeError),
        ({"scalars": 0}, ValueError),
        ({"scalars": True}, TypeError),
    ],
)
def test_a_wrong_value_is_refused_when_it_is_made(tmp_path, options, error):
    with pytest.raises(error, match=r"Recorder\((records|scalars)=.*allowed: an int, from"):
        Recorder(tmp_path / "run.loop", **options)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="that is a folder"):
        Recorder(tmp_path)


def test_a_file_that_cannot_be_made_is_an_error_when_it_is_attached(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        trainer_of(Recorder(tmp_path / "file" / "run.loop"))
