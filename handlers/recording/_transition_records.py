"""Make the writer of each transition: its record, and the live words that it sets."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from ...events import TrainerProtocol, TrainState, Transition
from ._mapped_file import TRANSITIONS, RecordingFile
from ._ring_writer import (
    RingWriter,
    Write,
    batch_begin_writer,
    batch_end_writer,
    transition_writer,
)
from .format import Kind, Live

_MAX_TEXT = 200


class TransitionWriters:
    """Makes a writer for each transition; those inside a batch do the least work.

    Args:
        rows: of the chart; the entry of a transition in the table contains its row number.
        unit: the scope of one batch; None: the chart has none.
    """

    def __init__(
        self, file: RecordingFile, ring: RingWriter, rows: list[Any], unit: str | None
    ) -> None:
        self._file = file
        self._ring = ring
        self._rows = rows
        self._unit = unit

    def make(self, transition: Transition) -> Write:
        """The writer of `transition`; after a cancel or an error it writes its reason, too."""
        row = _row_number(transition, self._rows)
        identity = self._file.identify("transition", *transition, row, most=TRANSITIONS)
        write = transition_writer(self._ring, identity)
        if transition.trigger.startswith("after_cancel_"):
            write = _in_sequence(write, self._write_cancel)
        if transition.trigger == "after_error":
            write = _in_sequence(write, self._write_error)
        return self._with_counters(transition, write)

    def set_counters(self, state: TrainState) -> None:
        """Set all counters in the live words."""
        set_live = self._file.set_live
        set_live(Live.EPOCH, state.epoch)
        set_live(Live.N_EPOCHS, _whole(state.progress("epochs").total))
        set_live(Live.BATCH, state.batch_index)
        set_live(Live.N_BATCHES, state.n_batches)
        set_live(Live.STEP, state.step)
        set_live(Live.SAMPLES, state.samples)
        set_live(Live.N_STEPS, _whole(state.progress("steps").total) or 0)

    def resume(self, state: TrainState) -> None:
        """Continue at the position of `state`; the time before now belongs to no phase."""
        self.set_counters(state)
        self._ring.set_argument(state.batch_index if self._in_unit(state.phase) else state.epoch)
        self._ring.last_ns = monotonic_ns()

    def _with_counters(self, transition: Transition, write: Write) -> Write:
        """`write`, which also sets counters: none inside a batch, a few at its begin and end."""
        inside = self._in_unit(transition.source), self._in_unit(transition.destination)
        if inside == (False, True):
            return batch_begin_writer(self._ring, write)
        if inside == (True, False):
            return batch_end_writer(self._ring, write)
        return write if all(inside) else self._outside_batches(write)

    def _outside_batches(self, write: Write) -> Write:
        def write_all(trainer: TrainerProtocol, state: TrainState) -> None:
            self._ring.set_argument(state.epoch)
            self.set_counters(state)
            write(trainer, state)
            self._ring.publish_count()
            self._file.check()

        return write_all

    def _in_unit(self, phase: str) -> bool:
        return self._unit in phase.split(".")[:-1]

    def _write_cancel(self, state: TrainState) -> None:
        cancel = state.cancel
        assert cancel is not None
        details = cancel.reason, cancel.raised_by, cancel.raised_in
        self._write_text(Kind.CANCEL, type(cancel).__name__, *details)

    def _write_error(self, state: TrainState) -> None:
        self._write_text(Kind.ERROR, type(state.error).__name__, str(state.error))

    def _write_text(self, kind: Kind, *texts: object) -> None:
        clipped = [str(text)[:_MAX_TEXT] for text in texts]
        self._ring.append(kind, self._file.identify(kind.name.lower(), *clipped))


def _whole(total: float | None) -> int | None:
    return None if total is None else int(total)


def _in_sequence(write: Write, write_reason: Callable[[TrainState], None]) -> Write:
    def write_both(trainer: TrainerProtocol, state: TrainState) -> None:
        write(trainer, state)
        write_reason(state)

    return write_both


def _row_number(transition: Transition, rows: list[Any]) -> int:
    """The number of the innermost row that matches a transition; -1 if no row does."""
    path = transition.source.split(".")
    for depth in range(len(path), 0, -1):
        phase = ".".join(path[:depth])
        for number, (trigger, sources, destination) in enumerate(rows):
            applies = phase in ((sources,) if isinstance(sources, str) else sources)
            if applies and (trigger, destination) == (transition.trigger, transition.destination):
                return number
    return -1
