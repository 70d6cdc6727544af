"""The state of a fit of several ranks: what is equal once, and what each has of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from ...events import PeerError, TrainerProtocol, TrainState
from ...events.trainer_protocol import CheckpointFolder, Manifest
from ...events.utils.nested import map_nested
from .._ranks import BackgroundGroup, gather_on_main, gather_over_ranks, meet

OWN = ("handlers", "loaders", "generators")
"""Entries of a state dict that differ from rank to rank."""


def state_of_all_ranks(trainer: TrainerProtocol) -> dict[str, Any]:
    """The state dict of this trainer, on rank 0 with the own entries of every rank in `ranks`.

    Of the handlers a rank has those whose states differ from rank 0's. Sharded tensors stay with
    their ranks, and the others have nothing else. All ranks call it together.
    """
    failure = ""
    try:
        captured = trainer.state_dict(shards=True)
        entries = {name: captured[name] for name in OWN}
        own = map_nested(torch.Tensor.cpu, entries, only=torch.Tensor)
    except BaseException as error:
        failure = f"{type(error).__name__}: {error}"
        raise
    finally:  # the other ranks wait for it
        failures = gather_over_ranks(failure, "what a fit has failed with")
    for rank, text in enumerate(failures):
        if text:
            raise PeerError(f"rank {rank} cannot save its part of the fit: {text}", rank)
    ranks = gather_on_main(own, "the state of a fit")
    if not trainer.state.is_main:
        return {"shards": captured.get("shards", {})}
    return {**captured, "ranks": [_without_equal(rank, ranks[0]) for rank in ranks]}


def _without_equal(own: dict[str, Any], first: Mapping[str, Any]) -> dict[str, Any]:
    main = first["handlers"]
    handlers = {
        name: state
        for name, state in own["handlers"].items()
        if name not in main or not _are_equal(state, main[name])
    }
    return {**own, "handlers": handlers}


def _are_equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_are_equal(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        same = len(one) == len(other)
        return same and all(map(_are_equal, one, other))
    return bool(one == other)


def of_main(state: TrainState, value: Any) -> Any:
    """The `value` of rank 0; all ranks call it together."""
    return value if state.world_size == 1 else gather_over_ranks(value, "what rank 0 decides")[0]


class RankStore:
    """A folder of checkpoints that all ranks write together; rank 0 opens, lists and prunes it.

    What fails on one rank is raised by all.

    Args:
        store: see `CheckpointFolder`.
        state: its `is_main` is read at each call.
    """

    def __init__(self, store: CheckpointFolder, state: TrainState) -> None:
        self._store = store
        self._state = state
        self.copied = store.copied
        self.load_validated = store.load_validated
        self._peers: BackgroundGroup | None = None

    @property
    def written(self) -> Mapping[Path, Manifest]:
        """The checkpoints in the folder, oldest first; none on another rank."""
        return self._store.written if self._state.is_main else {}

    def open(self, new: bool = False) -> None:
        """Create and lock the folder. Args: as `CheckpointFolder.open`."""
        if self._state.is_main:
            self._store.open(new)

    def close(self) -> None:
        """Unlock the folder."""
        peers, self._peers = self._peers, None
        if peers is not None:
            peers.close()
        self._store.close()

    def await_ranks(self) -> None:
        """Wait until all ranks are about to save."""
        if self._state.world_size > 1:
            meet("a save")

    def capture(self, trainer: TrainerProtocol) -> dict[str, Any]:
        """The state dict to save; all ranks call it together."""
        if self._state.world_size == 1:
            return trainer.state_dict()
        if self._peers is None:
            self._peers = BackgroundGroup()
        return state_of_all_ranks(trainer)

    def save(self, state: dict[str, Any], step: int, facts: dict[str, Any]) -> None:
        """Write a checkpoint."""
        if self._peers is None:
            self._store.save(state, step, facts)
        else:
            self._store.save_jointly(state, step, facts, self._peers)

    def keep(self, wanted: Collection[Path]) -> None:
        """Delete every checkpoint that is not in `wanted`; all ranks raise if rank 0 does."""
        failure = ""
        try:
            if self._state.is_main:
                self._store.keep(wanted)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            raise
        finally:
            failures = [] if self._peers is None else self._peers.exchange(failure)
        if any(failures):
            raise PeerError(f"rank 0 has not deleted old checkpoints: {failures[0]}", 0)
