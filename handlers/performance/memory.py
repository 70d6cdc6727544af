"""The peak memory of an epoch."""

from __future__ import annotations

import sys
from typing import ClassVar

import torch

from ...events import Handler, TrainerProtocol, TrainState
from .._writes import Writes

_MIB = 2**20


class Memory(Handler):
    """Writes the peak memory to the metrics of each epoch.

    On CUDA: the peak of the tensors on the device since the epoch began; torch's peak statistics
    are reset then. Elsewhere: the peak of the process since it was started, which cannot be reset.

    Signals: begin_epoch, begin_validate, after_train, after_validate
    Reads: device, model, job
    Writes: metrics["peak_memory"], in MiB: of training, then of training and validation
    Raises: ImportError when attached: not on CUDA, and Python has no module resource (Windows)
    Cost: no sync
    Does not: tell the peak of an epoch from an earlier one, except on CUDA
    """

    reads = ("device", "model", "job")
    writes: ClassVar[Writes] = dict.fromkeys(
        ("after_train", "after_validate"), ("metrics.peak_memory",)
    )

    on_error = "detach"

    def attached(self, trainer: TrainerProtocol) -> None:
        _peak_mib(_device_of(trainer.state))

    def begin_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        _reset_peak(_device_of(state))

    def begin_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.job == "validate":
            _reset_peak(_device_of(state))

    def after_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        state.report(peak_memory=_peak_mib(_device_of(state)))

    def after_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.job != "predict":
            state.report(peak_memory=_peak_mib(_device_of(state)))


def _device_of(state: TrainState) -> torch.device:
    parameter = next(state.model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    return state.device or device


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _MIB
    try:
        import resource  # noqa: PLC0415  # not on Windows
    except ImportError as error:
        raise ImportError(
            f"Memory cannot measure on {device.type}: Python has no module resource on this system"
        ) from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if sys.platform == "darwin" else peak / 1024  # bytes there, KiB elsewhere
