"""Resume a fit from a state dict.

Order: counters → `resumed` → the open scopes → position → loaders → weights and states →
generators. When handlers reopen their scopes, the counters are restored, but weights and options
are still those that the trainer was built with: what a scope restores when it closes is as before
the fit.
"""

from __future__ import annotations

from contextlib import ExitStack

from ...events import SIGNALS, resumed
from ..statechart.phase_paths import open_scopes, scope_name
from .checkpointed_trainer import CheckpointedTrainer
from .fit_position import restore_counters, restore_position
from .loader_position import restore_loaders
from .training_state import StateDict, load_training_state


def resume_fit(trainer: CheckpointedTrainer, saved: StateDict) -> None:
    """Restore the trainer to where `saved` was captured, without firing a transition.

    If that fails, the scopes that were opened are closed and the phase is reset.
    """
    state = trainer.state
    with ExitStack() as undo:
        undo.callback(setattr, state, "phase", state.phase)
        state.phase = saved["phase"]
        restore_counters(state, saved["position"])
        resumed.send(trainer, state=state)
        for path in reversed(open_scopes(state.phase)):
            scope = scope_name(path)
            undo.callback(_call_scope_receivers, trainer, f"after_{scope}", "closes_scope")
            _call_scope_receivers(trainer, f"begin_{scope}", "opens_scope")
        restore_position(state, saved["position"])
        restore_loaders(state, saved["loaders"])
        load_training_state(trainer, saved)
        undo.pop_all()


def _call_scope_receivers(trainer: CheckpointedTrainer, signal: str, marker: str) -> None:
    """Call the receivers of a signal that have `marker`: they open or close a handler's scope."""
    for receiver in list(SIGNALS[signal].receivers_for(trainer)):
        if getattr(receiver, marker, False):
            receiver(trainer, trainer.state)
