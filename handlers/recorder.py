"""A flight recorder: every transition, in a file that survives the process."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any

from ..events import TrainState, Transition, process
from ..events.layout import MAX_RECORDS, MIN_RECORDS, Kind, Live
from ..events.order import Receiver, owner_of, receiver_name
from ._recording_file import RECEIVERS, TRANSITIONS, RecordingFile
from ._scalars import Scalars
from ._tape import Tape, Write, closing_batch, opening_batch, timed, transition_writer

_MOST_TEXT = 200


class Recorder:
    """Records every transition of a trainer into a file that another process can read meanwhile.

    The file is a ring in memory that the system writes back: nothing is flushed, no thread runs,
    and what was recorded is there after a SIGKILL. `trackside top`, `watch`, `report`, `compare`
    and `export` read it; `trackside.views.Recording` does for a program. The newest `records` are
    kept in full; counts and times of all transitions are kept in totals. A file at `path` is
    replaced when the recorder is attached. Where several processes train together (`WORLD_SIZE`),
    each writes a file of its own, `run.rank3.loop`. Times are the host's.

    Hears: any_transition, after_validate, after_epoch
    Reads: epoch, batch_index, step, samples, loss, lr, metrics, cancel, error
    Raises: OSError when attached: the file cannot be made
    Cost: half a microsecond a transition, with `timing` one for each receiver called. One device
        sync each `scalars` training batches, and one an epoch for each metric that is a tensor

    Args:
        path: of the file, `runs/run.loop`; its folder is made.
        records: how many are kept, 16 bytes each; a batch makes 8, and with `timing` two more for
            each receiver called.
        timing: time each receiver that is called, too.
        scalars: training batches from one record of loss and learning rate to the next; None:
            neither these nor metrics are recorded.
        name: of the run; None: that of the trainer, or of the file.

    Raises:
        TypeError, ValueError: `records` is no int from 256, `scalars` none from 1; `path` is a
            folder.
    """

    on_error = "detach"
    runs_after = ("Metrics",)
    runs_before = ("LRSchedule",)  # which may set the rate of the next epoch at after_epoch

    def __init__(
        self,
        path: str | Path,
        records: int = 2**20,
        timing: bool = False,
        scalars: int | None = 20,
        name: str | None = None,
    ) -> None:
        self.path = _own_path(Path(path).resolve())
        self.records = _checked("records", records, MIN_RECORDS, MAX_RECORDS)
        self.timing = timing
        self.scalars = None if scalars is None else _checked("scalars", scalars, 1, 2**31)
        self.name = name
        if self.path.is_dir():
            raise ValueError(f"Recorder({str(path)!r}): that is a folder; allowed: a file's path")
        self._trainer: Any = None
        self._undo: Callable[[], None] = lambda: None

    def attached(self, trainer: Any) -> None:
        if self._trainer is not None:
            raise ValueError(
                f"this Recorder records another trainer to {self.path}; allowed: a recorder, and "
                "a file, for each trainer"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [list(row) for row in trainer.topology.rows]
        self._file = RecordingFile(self.path, self._meta(trainer, rows), self.records)
        self._tape = Tape(self._file)
        self._scalars = Scalars(self._file, self._tape)
        self._rows = rows
        self._writers: dict[Transition, Write] = {}
        self._process = os.getpid()
        self._note_counters(trainer.state)
        self._trainer = trainer
        if self.timing:
            self._undo = trainer.instrument(self._timed)

    def detached(self, trainer: Any) -> None:
        if trainer is self._trainer:
            self._undo()
            self._trainer = None
            if self._process == os.getpid():
                self._file.note(Live.CLOSED, 1)

    def any_transition(self, trainer: Any, state: TrainState, transition: Transition) -> None:
        self.for_transition(transition)(trainer, state)

    def for_transition(self, transition: Transition) -> Write:
        if transition not in self._writers:
            write = self._writer(transition)
            write.__wrapped__ = self.any_transition  # type: ignore[attr-defined]  # its name
            self._writers[transition] = write
        return self._writers[transition]

    def after_validate(self, trainer: Any, state: TrainState) -> None:
        if self.scalars is not None and state.job == "validate":
            self._scalars.write_metrics(state)

    def after_epoch(self, trainer: Any, state: TrainState) -> None:
        if self.scalars is not None:
            self._scalars.write_metrics(state)

    def _meta(self, trainer: Any, rows: list[Any]) -> dict[str, Any]:
        return {
            "name": self.name or getattr(trainer, "name", "") or self.path.stem,
            "host": socket.gethostname(),
            "boot": process.boot(),
            "namespace": process.pid_namespace(),
            "pid": os.getpid(),
            "started": process.start_time(os.getpid()),
            "rank": _rank()[0],
            "world": _rank()[1],
            "wall_ns": time_ns(),
            "monotonic_ns": monotonic_ns(),
            "timing": self.timing,
            "rows": rows,
        }

    def _writer(self, transition: Transition) -> Write:
        """What a transition records: little inside a batch, more where a batch opens or closes."""
        row = _row_of(transition, self._rows)
        identity = self._file.identify("transition", *transition, row, most=TRANSITIONS)
        write = transition_writer(self._tape, identity)
        if transition.trigger == "after_loss" and self.scalars is not None:
            write = self._scalars.every(self.scalars, write)
        if transition.trigger.startswith("after_cancel_"):
            write = _then(write, self._write_cancel)
        if transition.trigger == "after_error":
            write = _then(write, self._write_error)
        if "." not in transition.source:
            write = self._in_own_process(write)
        return self._placed(transition, write)

    def _placed(self, transition: Transition, write: Write) -> Write:
        """`write`, noting where the run is: nothing inside a batch, little at its ends."""
        inside = _in_batch(transition.source), _in_batch(transition.destination)
        if inside == (False, True):
            return opening_batch(self._tape, write)
        if inside == (True, False):
            return closing_batch(self._tape, write)
        return write if all(inside) else self._outside_batches(write)

    def _outside_batches(self, write: Write) -> Write:
        def write_all(trainer: Any, state: TrainState) -> None:
            self._tape.be_at(state.epoch)
            self._note_counters(state)
            write(trainer, state)
            self._tape.tell()

        return write_all

    def _in_own_process(self, write: Write) -> Write:
        def write_here(trainer: Any, state: TrainState) -> None:
            if os.getpid() != self._process:
                raise RuntimeError(
                    f"{self.path} is the recording of process {self._process}, and this is its "
                    f"fork {os.getpid()}; attach a Recorder with another path here"
                )
            write(trainer, state)

        return write_here

    def _note_counters(self, state: TrainState) -> None:
        note = self._file.note
        note(Live.EPOCH, state.epoch)
        note(Live.N_EPOCHS, state.n_epochs)
        note(Live.BATCH, state.batch_index)
        note(Live.N_BATCHES, state.n_batches)
        note(Live.STEP, state.step)
        note(Live.SAMPLES, state.samples)

    def _write_cancel(self, state: TrainState) -> None:
        cancel = state.cancel
        if cancel is not None:
            self._write_text(
                Kind.CANCEL,
                type(cancel).__name__,
                cancel.reason,
                cancel.raised_by,
                cancel.raised_in,
            )

    def _write_error(self, state: TrainState) -> None:
        if state.error is not None:
            self._write_text(Kind.ERROR, type(state.error).__name__, str(state.error))

    def _write_text(self, kind: Kind, *texts: object) -> None:
        clipped = [str(text)[:_MOST_TEXT] for text in texts]
        self._tape.append(kind, self._file.identify(kind.name.lower(), *clipped))

    def _timed(self, receiver: Receiver, transition: Transition) -> Receiver:
        owner = owner_of(receiver)
        if owner is self:
            return receiver
        module = getattr(owner, "__module__", type(owner).__module__)
        what = receiver_name(receiver), transition.trigger, module
        identity = self._file.identify("receiver", *what, most=RECEIVERS)
        return timed(self._tape, identity, TRANSITIONS + identity, receiver)


def _then(write: Write, more: Callable[[TrainState], None]) -> Write:
    def write_both(trainer: Any, state: TrainState) -> None:
        write(trainer, state)
        more(state)

    return write_both


def _in_batch(phase: str) -> bool:
    return "batch" in phase.split(".")[:-1]


def _row_of(transition: Transition, rows: list[Any]) -> int:
    """The row of the chart that makes a transition: the innermost; -1 if it is of another chart."""
    path = transition.source.split(".")
    for depth in range(len(path), 0, -1):
        phase = ".".join(path[:depth])
        for number, (trigger, sources, destination) in enumerate(rows):
            holds = phase in ((sources,) if isinstance(sources, str) else sources)
            if holds and (trigger, destination) == (transition.trigger, transition.destination):
                return number
    return -1


def _rank() -> tuple[int, int]:
    """This process among those that train together, by the variables that launchers set."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _own_path(path: Path) -> Path:
    rank, world = _rank()
    return path if world == 1 else path.with_name(f"{path.stem}.rank{rank}{path.suffix}")


def _checked(name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"Recorder({name}={value!r}): allowed: an int, from {least} to {most}")
    if not least <= value <= most:
        raise ValueError(f"Recorder({name}={value}): allowed: an int, from {least} to {most}")
    return value
