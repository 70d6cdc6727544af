import gc
import itertools
import os
import stat
import subprocess
import threading
import tracemalloc
import weakref
from collections import Counter
from pathlib import Path

import gan
import pytest
import torch
from helpers import CANCELS, Trace, batches, equal, raise_at, trainer_of, weights
from ranks import Ranks
from recordings import recorded

from trackside.engine import SUPERVISED, CheckpointError
from trackside.events import Transition
from trackside.handlers import EMA, Checkpoint, Metrics, Recorder, StepLimit
from trackside.handlers.recording import _mapped_file
from trackside.handlers.recording._mapped_file import RecordingFile
from trackside.handlers.recording.format import Kind, Live
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


class Meanwhile:
    """Calls a function when it has been called, or told to set an item, for the nth time."""

    def __init__(self, real, nth, do):
        self.real, self.left, self.do = real, nth, do

    def count(self):
        self.left -= 1
        if self.left == 0:
            self.do()

    def __call__(self, *arguments):
        self.count()
        return self.real(*arguments)

    def __getitem__(self, at):
        return self.real[at]

    def __setitem__(self, at, line):
        self.count()
        self.real[at] = line


def interrupt_naming(monkeypatch, file, moment, nth, do):
    """Have `do()` called before a line of the table is made, or in the middle of its writing."""
    place, name = (file, "_bytes") if moment == "written" else (_mapped_file, "_table_line")
    meanwhile = Meanwhile(getattr(place, name), nth, do)
    monkeypatch.setattr(place, name, meanwhile)
    return meanwhile


@pytest.mark.parametrize("nth", [1, 97])
@pytest.mark.parametrize("moment", ["made", "written"])
def test_a_recording_has_the_right_names_if_a_trainer_is_collected_while_one_is_added(
    tmp_path, monkeypatch, moment, nth
):
    def collect():
        others.clear()
        gc.collect()
        assert not left()

    others = [trainer_of(EMA(), Metrics())]
    others[0].itself = others[0]
    left = weakref.ref(others[0])
    recorder, trace = Recorder(tmp_path / "run.loop", scalars=None), Trace()
    trainer = trainer_of(trace, recorder)
    meanwhile = interrupt_naming(monkeypatch, recorder._file, moment, nth, collect)
    trainer.fit(batches(5), batches(2), epochs=2)
    with Recording(recorder.path) as recording:
        table = recording.table
        entries = [table.transition(record.id) for record in recording.records()]
    assert meanwhile.left < 0
    assert [entry.trigger for entry in entries] == trace.signals
    assert [entry.source for entry in entries[1:]] == [e.destination for e in entries[:-1]]


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("moment", ["made", "written"])
@pytest.mark.parametrize("inner", ["outer", "inner"])
def test_a_name_that_is_added_in_the_middle_of_another_has_its_own_id_and_line(
    tmp_path, monkeypatch, moment, nth, inner
):
    recorder, found = Recorder(tmp_path / "run.loop"), {}
    trainer_of(recorder)

    def identify(name):
        number = recorder._file.identify("scalar", name)
        assert found.setdefault(name, number) == number

    meanwhile = interrupt_naming(monkeypatch, recorder._file, moment, nth, lambda: identify(inner))
    for name in ("outer", "second", "third", "outer", inner):
        identify(name)
    with Recording(recorder.path) as recording:
        entries = recording.table.scalars
    assert meanwhile.left < 0
    assert len({*found.values()}) == len(found)
    assert {name: entries[number].name for name, number in found.items()} == {n: n for n in found}


@pytest.mark.parametrize("moment", ["made", "written"])
def test_a_name_whose_addition_was_interrupted_can_be_added_again(tmp_path, monkeypatch, moment):
    def interrupt():
        raise KeyboardInterrupt

    recorder = Recorder(tmp_path / "run.loop")
    trainer_of(recorder)
    interrupt_naming(monkeypatch, recorder._file, moment, 1, interrupt)
    with pytest.raises(KeyboardInterrupt):
        recorder._file.identify("scalar", "name")
    number = recorder._file.identify("scalar", "name")
    with Recording(recorder.path) as recording:
        assert recording.table.scalar(number) == "name"


def test_names_that_are_added_while_one_is_written_are_left_out_where_the_table_ends(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(_mapped_file, "TABLE_BYTES", 256)
    recorder = Recorder(tmp_path / "run.loop")
    trainer_of(recorder)
    names = [f"metric {number}" for number in range(20)]
    with recorder._file._writing:
        assert [recorder._file.identify("scalar", name) for name in names] == [*range(1, 21)]
    recorder._file.identify("scalar", "last")
    with Recording(recorder.path) as recording:
        written = [entry.name for entry in recording.table.scalars.values()]
    assert written == names[: len(written)]
    assert 0 < len(written) < len(names)
    assert recorder._file.live[Live.TABLE_BYTES] <= 256


def test_a_name_has_no_id_where_the_table_is_full_or_has_no_more_ids(tmp_path, monkeypatch):
    monkeypatch.setattr(_mapped_file, "TABLE_BYTES", 256)
    recorder = Recorder(tmp_path / "run.loop")
    trainer_of(recorder)
    identify = recorder._file.identify
    assert [identify("scalar", str(number), most=3) for number in range(4)] == [1, 2, 0, 0]
    assert [identify("receiver", "long" * 64) for _ in range(9)] == [0] * 9
    assert identify("receiver", "short") == 1
    assert identify("scalar", "1") == 2


def test_a_name_that_another_thread_adds_meanwhile_has_an_id_and_a_line_of_its_own(
    tmp_path, monkeypatch
):
    recorder, write, found = Recorder(tmp_path / "run.loop"), RecordingFile._write, {}
    trainer_of(recorder)

    def identify(name):
        found[name] = recorder._file.identify("scalar", name)

    def write_meanwhile(file, line):
        if not threads:
            threads.append(threading.Thread(target=identify, args=("second",)))
            threads[0].start()
            threads[0].join(0.5)
            assert found == {}, "the other thread waits for this one"
        write(file, line)

    threads = []
    monkeypatch.setattr(RecordingFile, "_write", write_meanwhile)
    identify("first")
    threads[0].join()
    with Recording(recorder.path) as recording:
        assert {e.name: n for n, e in recording.table.scalars.items()} == found
    assert found == {"first": 1, "second": 2}


def test_validate_and_predict_are_recorded_too(tmp_path):
    recorder, trace = Recorder(tmp_path / "run.loop", scalars=None), Trace()
    trainer = trainer_of(recorder, trace)
    trainer.validate(batches(2))
    trainer.predict(batches(2))
    with Recording(recorder.path) as recording:
        table = recording.table
        entries = [table.transition(record.id) for record in recording.records()]
    assert [entry.trigger for entry in entries] == trace.signals
    assert {entry.row for entry in entries} == {-1}


def test_totals_cover_every_transition_and_all_time(tmp_path):
    trace = Trace()
    with recorded(tmp_path / "run.loop", trace, scalars=None) as recording:
        all_totals, records = totals(recording), list(recording.records())
    by_trigger = Counter()
    for entry, total in all_totals.transitions.items():
        by_trigger[entry.trigger] += total.count
    assert by_trigger == Counter(trace.signals)
    inside = sum(total.ns for entry, total in all_totals.transitions.items() if "." in entry.source)
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


def test_the_record_of_a_cancel_follows_its_transition(tmp_path):
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


def test_timing_writes_a_record_before_and_after_each_receiver(tmp_path):
    with recorded(tmp_path / "run.loop", EMA(), timing=True, scalars=None) as recording:
        by_receiver, table = totals(recording).receivers, recording.table
        open_, names = [], Counter()
        for record in recording.records():
            if record.kind == Kind.BEGIN_RECEIVER:
                open_.append(record.id)
            elif record.kind == Kind.END_RECEIVER:
                assert record.id == open_.pop()
                names[table.receiver(record.id)] += 1
    assert not open_
    assert names == {entry: total.count for entry, total in by_receiver.items()}
    steps = next(total for entry, total in by_receiver.items() if entry.name == "EMA.after_step")
    assert steps.count == 10
    assert steps.ns > 0


def test_without_timing_no_receiver_is_wrapped(tmp_path):
    with recorded(tmp_path / "run.loop", EMA(), scalars=None) as recording:
        assert set(kinds(recording)) == {Kind.TRANSITION}


def test_the_end_of_a_raising_receiver_is_recorded(tmp_path):
    recorder = Recorder(tmp_path / "run.loop", timing=True, scalars=None)
    trainer = trainer_of(recorder)
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(3))
    with Recording(recorder.path) as recording:
        counts = Counter(kinds(recording))
    assert counts[Kind.BEGIN_RECEIVER] == counts[Kind.END_RECEIVER] == 1


def test_a_fit_recorded_with_timing_has_the_same_weights(tmp_path):
    plain, watched = trainer_of(), trainer_of(Recorder(tmp_path / "run.loop", timing=True))
    for trainer in (plain, watched):
        trainer.fit(batches(5), batches(2), epochs=2)
    assert equal(weights(plain), weights(watched))


def test_loss_and_rate_are_sampled_and_metrics_recorded_each_epoch(tmp_path):
    losses = []
    recorder = Recorder(tmp_path / "run.loop", scalars=2)
    trainer = trainer_of(Metrics(), recorder)
    when = trainer.on("after_loss", when=lambda trainer, state: state.training)
    when(lambda trainer, state: losses.append(state.loss.item()))
    trainer.fit(batches(5), batches(2), epochs=2)
    with Recording(recorder.path) as recording:
        scalars = list(recording.scalars())
    read = [s.value for s in scalars if s.name == "loss"]
    assert read == pytest.approx(losses[1::2])
    assert [s.step for s in scalars if s.name == "loss"] == [2, 4, 6, 8, 10]
    assert [s.value for s in scalars if s.name == "lr"] == pytest.approx([0.1] * 5)
    by_epoch = {s.epoch: s.value for s in scalars if s.name == "valid_loss"}
    assert by_epoch[1] == pytest.approx(trainer.state.metrics["valid_loss"])


def test_no_tensor_value_is_read_without_scalars(tmp_path):
    with torch.device("meta"):
        net = torch.nn.Linear(5, 3)
    trainer = trainer_of(Recorder(tmp_path / "run.loop", scalars=None), net=net, device="meta")
    trainer.fit(batches(3), batches(2), epochs=2)
    assert trainer.state.outcome == "completed"


def test_only_the_owner_can_read_and_no_temporary_file_is_left(tmp_path):
    recorded(tmp_path / "deep" / "run.loop")
    (file,) = (tmp_path / "deep").iterdir()
    assert file.name == "run.loop"
    assert stat.S_IMODE(file.stat().st_mode) == 0o400


def test_a_new_recording_at_the_path_does_not_affect_open_readers(tmp_path):
    path = tmp_path / "run.loop"
    first = recorded(path, scalars=None)
    before = list(first.records())
    assert not first.replaced
    recorded(path, epochs=1, scalars=None)
    assert first.replaced
    assert list(first.records()) == before


def test_one_recording_contains_two_fits(tmp_path):
    recorder = Recorder(tmp_path / "run.loop", scalars=None)
    trainer = trainer_of(recorder)
    trainer.fit(batches(2))
    trainer.fit(batches(2))
    with Recording(recorder.path) as recording:
        all_totals = totals(recording)
    counts = [
        t.count for entry, t in all_totals.transitions.items() if entry.trigger == "begin_fit"
    ]
    assert counts == [1, 1]  # from idle, and from completed


def test_each_rank_has_its_own_file(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    recorder = Recorder(tmp_path / "run.loop")
    trainer_of(recorder).fit(batches(1))
    assert recorder.path == tmp_path / "run.rank3.loop"
    with Recording(recorder.path) as recording:
        assert (recording.meta.rank, recording.meta.world) == (3, 8)


def test_a_detached_recorder_stops_and_marks_the_file_closed(tmp_path):
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


def test_a_fork_does_not_write_to_the_recording_of_its_parent(tmp_path, caplog):
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


def exit_code_of_a_fork(work):
    """0 if `work()` returns in a forked process."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("ends", ["goes on", "drops its iterator"])
def test_a_fork_inside_a_fit_writes_neither_recording_nor_checkpoints(tmp_path, ends):
    recorder = Recorder(tmp_path / "run.loop", scalars=1, timing=True)
    trainer = trainer_of(Checkpoint(tmp_path / "checkpoints"), recorder)
    steps = trainer.steps(batches(3), epochs=2)
    for transition in steps:
        if trainer.state.epoch == 1 and transition.trigger == "after_loss":
            break

    def go_on():
        try:
            for _ in range(5):
                next(steps)
            steps.close()
        except CheckpointError:  # the folder is locked by the parent
            pass

    before = files_in(tmp_path)
    assert exit_code_of_a_fork(go_on if ends == "goes on" else steps.close) in (0, 1)
    assert files_in(tmp_path) == before
    assert [*steps][-1].trigger == "after_fit"
    with Recording(recorder.path) as recording:
        assert status(recording).phase == "completed"


def files_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_link_at_the_path_is_replaced_and_its_target_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("kept")
    (tmp_path / "file.loop").symlink_to("notes.txt")
    (tmp_path / "nowhere.loop").symlink_to(tmp_path / "foreign" / "run.loop")
    for name in ("file.loop", "nowhere.loop"):
        recorded(tmp_path / name).close()
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "notes.txt").read_text() == "kept"
    assert not (tmp_path / "foreign").exists()


@pytest.mark.parametrize(
    "command", ["cp other.loop run.loop", "> run.loop", "truncate -s 0 run.loop"]
)
def test_a_command_that_would_cut_a_recording_is_refused_while_a_fit_writes_it(tmp_path, command):
    """As a user who is not root: root may do anything."""
    user = {} if os.getuid() else {"user": 65534}
    tmp_path.chmod(0o755)
    (tmp_path / "other.loop").write_bytes(b"shorter")
    (tmp_path / "other.loop").chmod(0o644)
    recorder, refusals = Recorder(tmp_path / "run.loop"), []
    trainer = trainer_of(recorder)

    @trainer.on("after_loss")
    def cut(trainer, state):
        os.chown(recorder.path, user.get("user", -1), -1)
        done = subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False, **user, stderr=-3)
        refusals.append(done.returncode != 0)

    trainer.fit(batches(2))
    assert refusals == [True, True]
    with Recording(recorder.path) as recording:
        assert status(recording).phase == "completed"


def test_a_resumed_fit_is_recorded_from_its_position(tmp_path):
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
    live, record = seen[0]
    assert live.phase == "fit.epoch.train.batch.backward.run"
    assert (live.counters.epoch, live.counters.n_epochs, live.counters.batch) == (1, 3, 2)
    assert record.argument == 2


def numbers_of(trainer, recorder, loader):
    """The arguments of transitions, the losses, and the counters at the end of each batch."""
    live = []

    @trainer.on("after_batch")
    def look(trainer, state):
        with Recording(recorder.path) as recording:
            live.append(recording.counters[2:])

    trainer.fit(loader, epochs=2)
    with Recording(recorder.path) as recording:
        records = list(recording.records())
        losses = [scalar.value for scalar in recording.scalars() if scalar.name == "loss"]
    return [r.argument for r in records if r.kind == Kind.TRANSITION], losses, live


def test_a_chart_with_other_names_is_recorded_like_the_standard_one(tmp_path):
    def numbers(chart):
        recorder = Recorder(tmp_path / "run.loop", scalars=2)
        return numbers_of(trainer_of(recorder, chart=chart), recorder, batches(3))

    names = {"epoch": "iteration", "train": "learning", "batch": "frame"}
    assert numbers(SUPERVISED.renamed(names)) == numbers(SUPERVISED)


def test_batches_with_two_updates_are_recorded_with_their_numbers(tmp_path):
    todo, recorder = gan.job(), Recorder(tmp_path / "run.loop", scalars=2)
    todo.trainer.attach(recorder)
    arguments, losses, live = numbers_of(todo.trainer, recorder, list(todo.train_loader)[:4])
    assert [counters[0] for counters in live] == [0, 1, 2, 3] * 2
    assert [counters[2] for counters in live] == [1, 3, 4, 6, 7, 9, 10, 12]
    assert set(arguments) == {0, 1, 2, 3, 2**32 - 1}  # the last: no epoch yet
    assert len(losses) == 4


def test_device_times_need_a_cuda_device(tmp_path):
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


def test_recording_a_batch_makes_no_write_call_and_no_thread(tmp_path):
    def written_and_threads(trainer, state):
        counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        seen.append((counts["syscw"], {*os.listdir("/proc/self/task")}))

    seen = []
    recorder = Recorder(tmp_path / "run.loop", timing=True, scalars=1)
    trainer = trainer_of(recorder, Metrics())
    trainer.on("begin_train")(written_and_threads)
    trainer.on("after_train")(written_and_threads)
    trainer.fit(batches(50), epochs=2)
    (written, threads), (written_later, threads_later) = seen[2:]  # torch starts threads before
    assert written_later == written
    assert threads_later <= threads  # a thread of another test may end


def test_an_unknown_timing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"timing='sync'.*allowed: False, True, 'events'"):
        Recorder(tmp_path / "run.loop", timing="sync")


def test_memory_does_not_grow_with_the_records(tmp_path):
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
def test_invalid_arguments_raise(tmp_path, options, error):
    with pytest.raises(error, match=r"Recorder\((records|scalars)=.*allowed: an int, from"):
        Recorder(tmp_path / "run.loop", **options)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="that is a folder"):
        Recorder(tmp_path)


def test_a_file_that_cannot_be_created_raises_when_attached(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        trainer_of(Recorder(tmp_path / "file" / "run.loop"))


def test_a_folder_that_was_made_at_its_path_meanwhile_is_kept_and_no_file_is_left(tmp_path):
    recorder = Recorder(tmp_path / "run.loop")
    (tmp_path / "run.loop").mkdir()
    with pytest.raises(IsADirectoryError, match="run"):
        trainer_of(recorder)
    assert [path.name for path in tmp_path.iterdir()] == ["run.loop"]


def test_values_that_are_no_numbers_are_no_scalars(tmp_path):
    trainer = trainer_of(Recorder(tmp_path / "run.loop", scalars=100))
    trainer.on("after_train")(lambda trainer, state: state.report(best="the second", shares=[1, 2]))
    trainer.on("after_epoch")(lambda trainer, state: state.report(m=0.5))
    trainer.fit(batches(2))
    with Recording(tmp_path / "run.loop") as recording:
        assert [(scalar.name, scalar.value) for scalar in recording.scalars()] == [("m", 0.5)]


def test_a_transition_that_it_is_told_of_is_recorded_as_one_that_it_hears(tmp_path):
    recorder = Recorder(tmp_path / "run.loop")
    trainer = trainer_of(recorder)
    told = Transition("begin_fit", "idle", "fit.ready")
    recorder.any_transition(trainer, trainer.state, told)
    with Recording(recorder.path) as recording:
        [record] = recording.records()
        assert recording.table.transition(record.id).trigger == "begin_fit"


def test_detached_in_a_run_of_ranks_it_hears_of_no_later_wait(tmp_path):
    recorder = Recorder(tmp_path / "run.loop")

    def work(rank, agreement):
        trainer = trainer_of(recorder)
        trainer.agreement = agreement
        trainer.on("begin_train")(lambda trainer, state: trainer.detach(recorder))
        trainer.on("begin_fit")(lambda trainer, state: watched.extend(agreement.vote_watchers))
        trainer.fit(batches(2))
        return agreement.vote_watchers + agreement.collective_watchers

    watched = []
    assert Ranks(1).run(work) == [[]]
    assert len(watched) == 1


def test_the_planned_epochs_and_steps_are_those_of_the_progress_of_the_fit(tmp_path):
    trainer = trainer_of(StepLimit(6), Recorder(tmp_path / "run.loop"))
    trainer.fit(batches(4), epochs=9)
    with Recording(tmp_path / "run.loop") as recording:
        assert (recording.counters.n_epochs, recording.counters.n_steps) == (2, 6)
