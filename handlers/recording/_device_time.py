"""Measure the time that a CUDA device spends in each phase, by events in its stream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from ...events import TrainerProtocol, TrainState
from ._ring_writer import Write
from ._scalar_records import ScalarWriter

_MAX_MARKS = 4096


class DeviceTimes:
    """Records an event in the device's stream at each transition; sums the times between them.

    The sums of an epoch are written as scalars, `device seconds in fit.epoch.train.batch.forward`.

    Args:
        scalars: writes the sums.
        event: makes an event like `torch.cuda.Event`, with `record`, `synchronize`, `elapsed_time`.
    """

    def __init__(self, scalars: ScalarWriter, event: Callable[[], Any]) -> None:
        self.scalars = scalars
        self.event = event
        self._marks: list[tuple[str, Any]] = []
        self._seconds: dict[str, float] = defaultdict(float)

    def marking_writer(self, phase: str, write: Write) -> Write:
        """`write`, for a transition that leaves `phase`, followed by an event in the stream."""

        def write_and_mark(trainer: TrainerProtocol, state: TrainState) -> None:
            write(trainer, state)
            mark = self.event()
            mark.record()
            self._marks.append((phase, mark))
            if len(self._marks) == _MAX_MARKS:
                self._sum_up(_MAX_MARKS // 2)  # the device has passed these: no wait

        return write_and_mark

    def write(self, state: TrainState) -> None:
        """Wait for the device, and write its time in each phase since the last call."""
        self._sum_up(len(self._marks))
        seconds = {f"device seconds in {phase}": s for phase, s in self._seconds.items()}
        self._seconds.clear()
        self.scalars.write(state, seconds)

    def _sum_up(self, count: int) -> None:
        done, self._marks = self._marks[:count], self._marks[max(0, count - 1) :]
        if done:
            done[-1][1].synchronize()
        for (_, before), (phase, after) in pairwise(done):
            self._seconds[phase] += before.elapsed_time(after) / 1e3


def cuda_event() -> Any:
    """Make a timing event of the current CUDA device."""
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def require_cuda() -> None:
    """Check that there is a CUDA device.

    Raises:
        RuntimeError: PyTorch has no CUDA device.
    """
    if not torch.cuda.is_available():
        raise RuntimeError(
            "Recorder(timing='events') measures the time of a CUDA device, and PyTorch finds none; "
            "allowed: False, or True for the host's time in each receiver"
        )
