"""Record every transition in a file that survives the process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NoReturn

from ...events import RehearsalPlan, TrainerProtocol, TrainState, Transition
from ...events.bus.order import Receiver, owner_of, receiver_name
from .._stateful import Stateful
from ._device_time import DeviceTimes, cuda_event, require_cuda
from ._fact_writer import FactWriter
from ._mapped_file import RECEIVERS, TRANSITIONS, RecordingFile
from ._picture_writer import PictureWriter
from ._ring_writer import RingWriter, Write, timed_receiver
from ._run_metadata import rank_path, run_metadata
from ._scalar_records import ScalarWriter
from ._transition_records import TransitionWriters
from ._wait_records import WaitRecords
from .format import MAX_RECORDS, MIN_RECORDS, Live


class Recorder(Stateful):
    """Records every transition of a trainer in a file that other processes can read at any time.

    The file is a memory-mapped ring, which the system writes to disk: nothing is flushed, no thread
    runs, and a SIGKILL loses no record. `trackside top`, `watch`, `report`, `compare` and `export`
    read it; in a program, `trackside.views.Recording`. The newest `records` are kept in full, the
    counts and times of all transitions as totals, and the metrics of the whole run, thinned. Of the
    pictures of Samples and Interpretation it keeps the newest, and as many earlier ones as 1 MiB
    has room for. Attaching the recorder replaces a file or a link at `path`; while it records, only
    root can open that for writing. If root cuts it, the recorder is detached, and the training goes
    on: a handler of SIGBUS, set when the first recorder is attached, puts memory in the place of
    the file. If several processes train together, each writes its own file, `run.rank3.loop`, also
    the times for which it waits in votes and for what the passes of the model exchange; a process
    that is forked inside a fit writes to none. Times are those of the host.

    Signals: any_transition, begin_fit, resumed, reported, after_validate, after_epoch
    Reads: epoch, batch_index, step, samples, loss, lr, reported, pictures, cancel, error, seed,
        facts
    Raises: when attached: OSError if the file cannot be created, RuntimeError for
        `timing="events"` without a CUDA device
    Cost: half a microsecond a transition; with `timing` one for each receiver called. One device
        sync each `scalars` training batches, one for each reported metric that is a tensor; with
        `timing="events"` one more an epoch, and some microseconds a transition
    Does not: keep more than the newest `records`, except in totals and metrics; time a device
        without `timing="events"`

    Args:
        path: the file, `runs/run.loop`; its folder is created.
        records: number of records to keep, 16 bytes each, from 256; a batch makes 8, and with
            `timing` two more for each receiver called.
        timing: True: also record the time of each receiver called. "events": also record, each
            epoch and as scalars, the time that a CUDA device spends in each phase, measured by
            events in its stream.
        scalars: record loss and learning rate at the end of every n-th training batch, from 1;
            None: record neither these nor metrics.
        name: the name of the run; None: the name of the trainer, or of the file.

    Raises:
        TypeError, ValueError: an argument is out of range; `path` is a folder.
    """

    reads = (
        "epoch",
        "batch_index",
        "step",
        "samples",
        "loss",
        "reported",
        "pictures",
        "cancel",
        "error",
        "seed",
        "facts",
    )

    on_error = "detach"
    runs_after = ("Metrics", "Samples", "Interpretation")
    runs_before = ("LRSchedule",)  # it may set the rate of the next epoch at after_epoch

    def __init__(
        self,
        path: str | Path,
        records: int = 2**20,
        timing: bool | Literal["events"] = False,
        scalars: int | None = 50,
        name: str | None = None,
    ) -> None:
        self.path = rank_path(Path(path).absolute())
        self._stem = Path(path).stem
        self.records = _checked("records", records, MIN_RECORDS, MAX_RECORDS)
        self.timing = timing
        self.scalars = None if scalars is None else _checked("scalars", scalars, 1, 2**31)
        self.name = name
        if timing not in (True, False, "events"):
            raise ValueError(f"Recorder(timing={timing!r}): allowed: False, True, 'events'")
        if self.path.is_dir():
            raise ValueError(f"Recorder({str(path)!r}): that is a folder; allowed: a file's path")
        self.needs = ("round",) if timing == "events" else ("any_transition",)
        self._trainer: Any = None
        self._stop_timing: Callable[[], None] = lambda: None

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle or copy the Recorder of {self.path}: two of them would write to one "
            "file; make another one there, with another path"
        )

    def rehearse(self, plan: RehearsalPlan) -> None:
        """Plan the recording."""
        plan.will_write(self.path)

    def attached(self, trainer: TrainerProtocol) -> None:
        if self._trainer is not None:
            raise ValueError(
                f"this Recorder records another trainer to {self.path}; allowed: one recorder, "
                "and one file, for each trainer"
            )
        if self.timing == "events":
            require_cuda()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        name = self.name or getattr(trainer, "name", "") or self._stem
        meta = run_metadata(trainer, name, self.timing)
        self._file = RecordingFile(self.path, meta, self.records)
        self._ring = RingWriter(self._file)
        self._facts = FactWriter(self._file)
        self._scalars = ScalarWriter(self._file, self._ring)
        self._pictures = PictureWriter(self._file)
        self._device = DeviceTimes(self._scalars, cuda_event) if self.timing == "events" else None
        self._writers = TransitionWriters(
            self._file, self._ring, meta["rows"], trainer.state.unit_scope
        )
        self._waits = WaitRecords(self._file, self._ring, trainer.state)
        self._unit_end = f"after_{trainer.state.unit_scope}"
        self._writer_cache: dict[Transition, Write] = {}
        self._pid = os.getpid()
        self._writers.set_counters(trainer.state)
        self._trainer = trainer
        if self.timing:
            self._stop_timing = trainer.instrument(self._timed)

    def detached(self, trainer: TrainerProtocol) -> None:
        self._stop_timing()
        self._waits.stop(trainer)
        self._trainer = None
        if self._pid == os.getpid():
            self._file.set_live(Live.CLOSED, 1)

    def any_transition(
        self, trainer: TrainerProtocol, state: TrainState, transition: Transition
    ) -> None:
        self.for_transition(transition)(trainer, state)

    def for_transition(self, transition: Transition) -> Write:
        if transition not in self._writer_cache:
            write = self._make_writer(transition)
            write.__wrapped__ = self.any_transition  # type: ignore[attr-defined]  # its name
            self._writer_cache[transition] = write
        return self._writer_cache[transition]

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._facts.begin(state)

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self.begin_fit(trainer, state)
        self._writers.resume(state)
        self._waits.watch(trainer)

    def reported(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.scalars is not None:
            self._scalars.write(state, state.reported)

    def after_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.job == "validate":
            self._pictures.write(state)
            self._write_device_times(state)

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._facts.complete(state)
        self._pictures.write(state)
        self._write_device_times(state)

    def _write_device_times(self, state: TrainState) -> None:
        if self._device is not None:
            self._device.write(state)

    def _make_writer(self, transition: Transition) -> Write:
        write = self._writers.make(transition)
        if transition.trigger == self._unit_end and self.scalars is not None:
            write = self._scalars.sampling_writer(self.scalars, write, self._facts.complete)
        if self._device is not None:
            write = self._device.marking_writer(transition.source, write)
        return write if "." in transition.source else self._beginning(write)

    def _beginning(self, write: Write) -> Write:
        """`write` at the begin of a run, of which the votes are recorded, too."""

        def check_and_write(trainer: TrainerProtocol, state: TrainState) -> None:
            if os.getpid() != self._pid:
                raise RuntimeError(
                    f"{self.path} is the recording of process {self._pid}, and this is its "
                    f"fork {os.getpid()}; attach a Recorder with another path here"
                )
            self._waits.watch(trainer)
            write(trainer, state)

        return check_and_write

    def _timed(self, receiver: Receiver, transition: Transition) -> Receiver:
        owner = owner_of(receiver)
        if owner is self:
            return receiver
        module = getattr(owner, "__module__", type(owner).__module__)
        entry = receiver_name(receiver), transition.trigger, module
        identity = self._file.identify("receiver", *entry, most=RECEIVERS)
        return timed_receiver(self._ring, identity, TRANSITIONS + identity, receiver)


def _checked(name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"Recorder({name}={value!r}): allowed: an int, from {least} to {most}")
    if not least <= value <= most:
        raise ValueError(f"Recorder({name}={value}): allowed: an int, from {least} to {most}")
    return value
