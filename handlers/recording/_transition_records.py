"""What a transition records, and which counters it notes."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from ...events import TrainerProtocol, TrainState, Transition
from ._mapped_file import TRANSITIONS, RecordingFile
from ._ring_writer import Tape, Write, closing_batch, opening_batch, transition_writer
from .format import Kind, Live

_MOST_TEXT = 200


class Writers:
    """Makes what writes each transition: little inside a batch, more where a batch opens or closes.

    Args:
        rows: of the chart, in which each transition is found.
    """

    def __init__(self, file: RecordingFile, tape: Tape, rows: list[Any]) -> None:
        self._file = file
        self._tape = tape
        self._rows = rows

    def of(self, transition: Transition) -> Write:
        """What writes `transition`; a cancel or an error follows with its reason."""
        row = _row_of(transition, self._rows)
        identity = self._file.identify("transition", *transition, row, most=TRANSITIONS)
        write = transition_writer(self._tape, identity)
        if transition.trigger.startswith("after_cancel_"):
            write = _then(write, self._write_cancel)
        if transition.trigger == "after_error":
            write = _then(write, self._write_error)
        return self._placed(transition, write)

    def note_counters(self, state: TrainState) -> None:
        """Note where the run is."""
        note = self._file.note
        note(Live.EPOCH, state.epoch)
        note(Live.N_EPOCHS, state.n_epochs)
        note(Live.BATCH, state.batch_index)
        note(Live.N_BATCHES, state.n_batches)
        note(Live.STEP, state.step)
        note(Live.SAMPLES, state.samples)

    def resume(self, state: TrainState) -> None:
        """Note where a run goes on; the time before that is nobody's."""
        self.note_counters(state)
        self._tape.be_at(state.batch_index if _in_batch(state.phase) else state.epoch)
        self._tape.since = monotonic_ns()

    def _placed(self, transition: Transition, write: Write) -> Write:
        """`write`, noting where the run is: nothing inside a batch, little at its ends."""
        inside = _in_batch(transition.source), _in_batch(transition.destination)
        if inside == (False, True):
            return opening_batch(self._tape, write)
        if inside == (True, False):
            return closing_batch(self._tape, write)
        return write if all(inside) else self._outside_batches(write)

    def _outside_batches(self, write: Write) -> Write:
        def write_all(trainer: TrainerProtocol, state: TrainState) -> None:
            self._tape.be_at(state.epoch)
            self.note_counters(state)
            write(trainer, state)
            self._tape.tell()

        return write_all

    def _write_cancel(self, state: TrainState) -> None:
        cancel = state.cancel
        if cancel is not None:
            told = cancel.reason, cancel.raised_by, cancel.raised_in
            self._write_text(Kind.CANCEL, type(cancel).__name__, *told)

    def _write_error(self, state: TrainState) -> None:
        if state.error is not None:
            self._write_text(Kind.ERROR, type(state.error).__name__, str(state.error))

    def _write_text(self, kind: Kind, *texts: object) -> None:
        clipped = [str(text)[:_MOST_TEXT] for text in texts]
        self._tape.append(kind, self._file.identify(kind.name.lower(), *clipped))


def _then(write: Write, more: Callable[[TrainState], None]) -> Write:
    def write_both(trainer: TrainerProtocol, state: TrainState) -> None:
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
