"""A flight recorder: every transition, in a file that survives the process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ...events import TrainerProtocol, TrainState, Transition
from ...events.order import Receiver, owner_of, receiver_name
from .._stateful import Saved
from ._device_time import DeviceTimes, cuda_event, require_cuda
from ._mapped_file import RECEIVERS, TRANSITIONS, RecordingFile
from ._ring_writer import Tape, Write, timed
from ._run_metadata import meta_of, own_path
from ._scalar_records import Scalars
from ._transition_records import Writers
from .format import MAX_RECORDS, MIN_RECORDS, Live


class Recorder(Saved):
    """Records every transition of a trainer into a file that another process can read meanwhile.

    The file is a ring in memory that the system writes back: nothing is flushed, no thread runs,
    and what was recorded is there after a SIGKILL. `trackside top`, `watch`, `report`, `compare`
    and `export` read it; `trackside.views.Recording` does for a program. The newest `records` are
    kept in full; counts and times of all transitions are kept in totals. A file at `path` is
    replaced when the recorder is attached. Where several processes train together (`WORLD_SIZE`),
    each writes a file of its own, `run.rank3.loop`. Times are the host's.

    Signals: any_transition, resumed, after_validate, after_epoch
    Reads: epoch, batch_index, step, samples, loss, lr, metrics, cancel, error
    Raises: OSError when attached: the file cannot be made; RuntimeError: `timing="events"` without
        a CUDA device
    Cost: half a microsecond a transition, with `timing` one for each receiver called. One device
        sync each `scalars` training batches, one an epoch for each metric that is a tensor, and
        with `timing="events"` one an epoch, and some microseconds a transition

    Args:
        path: of the file, `runs/run.loop`; its folder is made.
        records: how many are kept, 16 bytes each; a batch makes 8, and with `timing` two more for
            each receiver called.
        timing: time each receiver that is called, too; "events" also sums up, each epoch, the time
            that a CUDA device spends in each phase, by events in its stream, and records these as
            scalars.
        scalars: training batches from one record of loss and learning rate, as they are at a
            batch's end, to the next; None: neither these nor metrics are recorded.
        name: of the run; None: that of the trainer, or of the file.

    Raises:
        TypeError, ValueError: `records` is no int from 256, `scalars` none from 1; `timing` is
            something else; `path` is a folder.
    """

    on_error = "detach"
    runs_after = ("Metrics",)
    runs_before = ("LRSchedule",)  # which may set the rate of the next epoch at after_epoch

    def __init__(
        self,
        path: str | Path,
        records: int = 2**20,
        timing: bool | Literal["events"] = False,
        scalars: int | None = 50,
        name: str | None = None,
    ) -> None:
        self.path = own_path(Path(path).resolve())
        self.records = _checked("records", records, MIN_RECORDS, MAX_RECORDS)
        self.timing = timing
        self.scalars = None if scalars is None else _checked("scalars", scalars, 1, 2**31)
        self.name = name
        if timing not in (True, False, "events"):
            raise ValueError(f"Recorder(timing={timing!r}): allowed: False, True, 'events'")
        if self.path.is_dir():
            raise ValueError(f"Recorder({str(path)!r}): that is a folder; allowed: a file's path")
        self._trainer: Any = None
        self._undo: Callable[[], None] = lambda: None

    def attached(self, trainer: TrainerProtocol) -> None:
        if self._trainer is not None:
            raise ValueError(
                f"this Recorder records another trainer to {self.path}; allowed: a recorder, and "
                "a file, for each trainer"
            )
        if self.timing == "events":
            require_cuda()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        name = self.name or getattr(trainer, "name", "") or self.path.stem
        meta = meta_of(trainer, name, self.timing)
        self._file = RecordingFile(self.path, meta, self.records)
        self._tape = Tape(self._file)
        self._scalars = Scalars(self._file, self._tape)
        self._device = DeviceTimes(self._scalars, cuda_event) if self.timing == "events" else None
        self._writers = Writers(self._file, self._tape, meta["rows"])
        self._made: dict[Transition, Write] = {}
        self._process = os.getpid()
        self._writers.note_counters(trainer.state)
        self._trainer = trainer
        if self.timing:
            self._undo = trainer.instrument(self._timed)

    def detached(self, trainer: TrainerProtocol) -> None:
        if trainer is self._trainer:
            self._undo()
            self._trainer = None
            if self._process == os.getpid():
                self._file.note(Live.CLOSED, 1)

    def any_transition(
        self, trainer: TrainerProtocol, state: TrainState, transition: Transition
    ) -> None:
        self.for_transition(transition)(trainer, state)

    def for_transition(self, transition: Transition) -> Write:
        if transition not in self._made:
            write = self._writer(transition)
            write.__wrapped__ = self.any_transition  # type: ignore[attr-defined]  # its name
            self._made[transition] = write
        return self._made[transition]

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._writers.resume(state)

    def after_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.job == "validate":
            self._write_epoch(state)

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._write_epoch(state)

    def _write_epoch(self, state: TrainState) -> None:
        if self._device is not None:
            self._device.write(state)
        if self.scalars is not None:
            self._scalars.write_metrics(state)

    def _writer(self, transition: Transition) -> Write:
        write = self._writers.of(transition)
        if transition.trigger == "after_batch" and self.scalars is not None:
            write = self._scalars.every(self.scalars, write)
        if self._device is not None:
            write = self._device.marking(transition.source, write)
        return write if "." in transition.source else self._in_own_process(write)

    def _in_own_process(self, write: Write) -> Write:
        def write_here(trainer: TrainerProtocol, state: TrainState) -> None:
            if os.getpid() != self._process:
                raise RuntimeError(
                    f"{self.path} is the recording of process {self._process}, and this is its "
                    f"fork {os.getpid()}; attach a Recorder with another path here"
                )
            write(trainer, state)

        return write_here

    def _timed(self, receiver: Receiver, transition: Transition) -> Receiver:
        owner = owner_of(receiver)
        if owner is self:
            return receiver
        module = getattr(owner, "__module__", type(owner).__module__)
        what = receiver_name(receiver), transition.trigger, module
        identity = self._file.identify("receiver", *what, most=RECEIVERS)
        return timed(self._tape, identity, TRANSITIONS + identity, receiver)


def _checked(name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"Recorder({name}={value!r}): allowed: an int, from {least} to {most}")
    if not least <= value <= most:
        raise ValueError(f"Recorder({name}={value}): allowed: an int, from {least} to {most}")
    return value
