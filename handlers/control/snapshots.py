"""Copies of the training state in memory, to which the fit can be rolled back."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, get_args

import torch

from ...events import Snapshot, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from ...events.utils.nested import map_nested
from .._copying import KnownTrainers, LeftOut
from .._stateful import Stateful

Activity = Callable[[TrainState], str]
Where = Literal["cpu", "pinned", "device"]


class Snapshots(Stateful):
    """Keeps the last copies of the whole training state, for a RollbackException.

    The first is made before the first batch of a fit, or of a resumed one; then one every so many
    optimizer steps, between two batches. They are lost with the process: a checkpoint is for that.

    Signals: after_fit; wraps fetch
    Reads: everything that a checkpoint has
    Writes: snapshots
    Raises: bad arguments in `__init__`
    Cost: a copy of weights, gradients and the optimizer's state for each one that is kept, and one
        more while it is made; with "cpu" and "pinned" a device sync every so many steps. Sharded
        tensors are collected: each rank keeps whole ones
    Does not: go back by itself, or outlive the process: a `Checkpoint` does

    Args:
        every: optimizer steps between two of them, from 1.
        keep: how many are kept, from 1; the oldest ones are dropped.
        where: "cpu", "pinned" (page-locked, faster to copy from and to a GPU), or "device": the
            tensors stay on their devices.
    """

    saved = ()
    left_out: ClassVar[LeftOut] = {"_trainers": KnownTrainers}

    def __init__(self, every: int = 100, keep: int = 2, *, where: Where = "cpu") -> None:
        for name, number in (("every", every), ("keep", keep)):
            check_whole_number(f"Snapshots({name}={number!r})", number, least=1)
        if where not in get_args(Where):
            raise ValueError(
                f"Snapshots(where={where!r}): allowed: {', '.join(map(repr, get_args(Where)))}"
            )
        if where == "pinned" and not torch.cuda.is_available():
            raise ValueError('Snapshots(where="pinned"): there is no CUDA device; allowed: "cpu"')
        self.every = every
        self.keep = keep
        self.where = where
        self._trainers = KnownTrainers()

    def attached(self, trainer: TrainerProtocol) -> None:
        self._trainers.add(trainer)

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        state.snapshots.clear()

    def wrap_fetch(self, fetch: Activity) -> Activity:
        def copy_and_fetch(state: TrainState) -> str:
            if state.job == "fit" and state.training and self._is_due(state):
                self._copy(state)
            return fetch(state)

        return copy_and_fetch

    def _is_due(self, state: TrainState) -> bool:
        kept = state.snapshots
        return not kept or state.step >= kept[-1].step + self.every

    def _copy(self, state: TrainState) -> None:
        trainer = self._trainers.of(state)
        assert trainer is not None
        saved = map_nested(self._copied, trainer.state_dict(), only=torch.Tensor)
        snapshot = Snapshot(state.step, state.epoch, state.batch_index, saved)
        state.snapshots[:] = [*state.snapshots, snapshot][-self.keep :]

    def _copied(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.where == "device":
            return tensor.detach().clone()
        copied = tensor.detach().to("cpu", copy=True)
        return copied.pin_memory() if self.where == "pinned" else copied
