"""The activity of `restore`: makes the training state that of a snapshot, within a pass."""

from __future__ import annotations

import copy

from ...events import RecoveryError, Rollback, RollbackException, Snapshot, TrainState
from ..data.loader_traits import is_one_pass
from .checkpointed_trainer import CheckpointedTrainer
from .fit_position import restore_counters, restore_position
from .loader_position import restore_loaders
from .training_state import load_training_state


def roll_back(trainer: CheckpointedTrainer) -> str:
    """Restore the snapshot that the live RollbackException names, and record what is left out.

    Everything that a resumed fit restores, except the states of handlers that have
    `kept_in_rollback`. Snapshots that are newer than that one are dropped.

    Raises:
        RecoveryError: there is no such snapshot, or the loader cannot be read again.
    """
    state = trainer.state
    cancel = state.recovery
    assert isinstance(cancel, RollbackException)
    snapshot = _found(cancel, state)
    if is_one_pass(state.train_loader or ()):
        raise RecoveryError(
            f"{_tried(cancel)}: the train_loader is a {type(state.train_loader).__name__}, which "
            "cannot be read a second time; allowed: a loader that can"
        ) from cancel
    made = [*state.rollbacks, _rollback(cancel, snapshot, state)]
    saved = copy.deepcopy(dict(snapshot.saved))  # what is loaded may become the live tensors
    state.batches = state.paused = None
    state.notes.clear()
    restore_counters(state, saved["position"])
    restore_position(state, saved["position"])
    state.rollbacks = made
    state.snapshots[:] = [kept for kept in state.snapshots if kept.step <= snapshot.step]
    restore_loaders(state, saved["loaders"])
    load_training_state(trainer, saved, is_rollback=True)
    return "after_rollback"


def _found(cancel: RollbackException, state: TrainState) -> Snapshot:
    live, raised_in = (state.epoch, state.batch_index), _raised_in(cancel, state)
    kept = [
        one
        for one in state.snapshots
        if cancel.to in (None, one.step)
        and (live == raised_in or (one.epoch, one.batch_index) < raised_in)
    ]
    if kept:
        return kept[-1]
    steps = ", ".join(str(one.step) for one in state.snapshots)
    raise RecoveryError(
        f"{_tried(cancel)}: there is no such snapshot; steps of state.snapshots: "
        f"{steps or 'none, attach Snapshots'}"
    ) from cancel


def _rollback(cancel: RollbackException, snapshot: Snapshot, state: TrainState) -> Rollback:
    last = epoch, batch_index = _raised_in(cancel, state)
    first = snapshot.epoch, snapshot.batch_index + 1
    if cancel.skip is not None:
        first = max(first, (epoch, max(0, batch_index - cancel.skip + 1)))
    reason = str(cancel.reason)  # it may be the error that was caught, and is saved
    return Rollback(reason, state.step, snapshot.step, first, last)


def _raised_in(cancel: RollbackException, state: TrainState) -> tuple[int, int]:
    """The epoch and the batch in which it was raised: several ranks act on it later."""
    epoch, batch_index = cancel.at or (state.epoch, state.batch_index)
    return epoch, batch_index


def _tried(cancel: RollbackException) -> str:
    return f"RollbackException({cancel.reason!r}, to={cancel.to})"
