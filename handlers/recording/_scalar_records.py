"""Write scalars to a recording: the loss, the learning rate, metrics."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

from ...events import TrainerProtocol, TrainState
from ..logging._row import to_python
from ._mapped_file import RecordingFile
from ._metric_points import MetricPoints
from ._ring_writer import RingWriter, Write
from .format import Kind

_FLOAT = struct.Struct("<f")
_WORD = struct.Struct("<I")


class ScalarWriter:
    """Writes numbers, each as a float32, after a record of their epoch and step."""

    def __init__(self, file: RecordingFile, ring: RingWriter) -> None:
        self.file = file
        self.ring = ring
        self.points = MetricPoints(file)

    def write(self, state: TrainState, values: Mapping[str, Any]) -> None:
        """Write the values that are numbers."""
        plain = [(name, to_python(value)) for name, value in values.items()]
        numbers = [(name, value) for name, value in plain if isinstance(value, Real)]
        if not numbers:
            return
        self.ring.append(Kind.POSITION, state.epoch & 0xFFFF, state.step)
        for name, value in numbers:
            identity, number = self.file.identify("scalar", name), float(value)
            self.ring.append(Kind.SCALAR, identity, _bits(number))
            if identity:
                self.points.append(identity, state.epoch, state.step, number)

    def sampling_writer(
        self, every: int, write: Write, then: Callable[[TrainState], None]
    ) -> Write:
        """`write` at the end of a batch; after every n-th one in training loss and rate, `then`."""
        left = every

        def write_and_sample(trainer: TrainerProtocol, state: TrainState) -> None:
            nonlocal left
            write(trainer, state)
            if state.training:
                left -= 1
                if not left:
                    left = every
                    self.write(state, {"loss": state.loss, "lr": state.lr})
                    then(state)

        return write_and_sample


def _bits(value: float) -> int:
    try:
        packed = _FLOAT.pack(value)
    except OverflowError:
        packed = _FLOAT.pack(float("inf") if value > 0 else float("-inf"))
    bits: int = _WORD.unpack(packed)[0]
    return bits
