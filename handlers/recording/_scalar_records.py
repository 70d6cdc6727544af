"""Single numbers in a recording: the loss, the learning rate, metrics."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from numbers import Real
from typing import Any

from ...events import TrainerProtocol, TrainState
from ..logging._run_logger import flat, plain
from ._mapped_file import RecordingFile
from ._ring_writer import Tape, Write
from .format import Kind

_FLOAT = struct.Struct("<f")
_WORD = struct.Struct("<I")


class Scalars:
    """Writes numbers, each as a float32, behind a record that says of which epoch and step."""

    def __init__(self, file: RecordingFile, tape: Tape) -> None:
        self.file = file
        self.tape = tape

    def write(self, state: TrainState, values: Mapping[str, Any]) -> None:
        """Write those values that are numbers."""
        found = [(name, plain(value)) for name, value in values.items()]
        numbers = [(name, value) for name, value in found if isinstance(value, Real)]
        if not numbers:
            return
        self.tape.append(Kind.POSITION, state.epoch & 0xFFFF, state.step)
        for name, value in numbers:
            self.tape.append(Kind.SCALAR, self.file.identify("scalar", name), _bits(float(value)))

    def write_metrics(self, state: TrainState) -> None:
        """Write the metrics of an epoch, or of a validation."""
        self.write(state, flat(state.metrics))

    def every(self, n: int, write: Write) -> Write:
        """`write` at the end of a batch, then each n-th time in training loss and learning rate."""
        left = n

        def write_more(trainer: TrainerProtocol, state: TrainState) -> None:
            nonlocal left
            write(trainer, state)
            if state.training:
                left -= 1
                if not left:
                    left = n
                    self.write(state, {"loss": state.loss, "lr": state.lr})

        return write_more


def _bits(value: float) -> int:
    try:
        packed = _FLOAT.pack(value)
    except OverflowError:
        packed = _FLOAT.pack(float("inf") if value > 0 else float("-inf"))
    bits: int = _WORD.unpack(packed)[0]
    return bits
