"""Time that a CUDA device spends in each phase, by events in its stream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from ...events import TrainerProtocol, TrainState
from ._ring_writer import Write
from ._scalar_records import Scalars

_MOST = 4096


class DeviceTimes:
    """Marks each transition in the device's stream; sums up the times between two marks.

    The sums of an epoch are written as scalars, `device seconds in fit.epoch.train.batch.forward`.

    Args:
        scalars: write them.
        event: makes an event that can be recorded, waited for, and asked for the milliseconds
            to a later one.
    """

    def __init__(self, scalars: Scalars, event: Callable[[], Any]) -> None:
        self.scalars = scalars
        self.event = event
        self._marks: list[tuple[str, Any]] = []
        self._seconds: dict[str, float] = defaultdict(float)

    def marking(self, phase: str, write: Write) -> Write:
        """`write` of a transition that leaves `phase`, and a mark."""

        def write_and_mark(trainer: TrainerProtocol, state: TrainState) -> None:
            write(trainer, state)
            mark = self.event()
            mark.record()
            self._marks.append((phase, mark))
            if len(self._marks) == _MOST:
                self._sum_up(_MOST // 2)  # these are done long since: nothing is waited for

        return write_and_mark

    def write(self, state: TrainState) -> None:
        """Wait for the device, and write what it has spent in each phase since the last time."""
        self._sum_up(len(self._marks))
        names = {f"device seconds in {phase}": s for phase, s in self._seconds.items()}
        self._seconds.clear()
        self.scalars.write(state, names)

    def _sum_up(self, count: int) -> None:
        done, self._marks = self._marks[:count], self._marks[max(0, count - 1) :]
        if done:
            done[-1][1].synchronize()
        for (_, before), (phase, after) in pairwise(done):
            self._seconds[phase] += before.elapsed_time(after) / 1e3


def cuda_event() -> Any:
    """An event of the current CUDA device."""
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def require_cuda() -> None:
    """Refuse to time a device that is not there.

    Raises:
        RuntimeError: PyTorch sees no CUDA device.
    """
    if not torch.cuda.is_available():
        raise RuntimeError(
            "Recorder(timing='events') times the work of a CUDA device, and PyTorch sees none; "
            "allowed: False, or True for the time of the host in each receiver"
        )
