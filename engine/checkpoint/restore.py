"""How a fit goes on where it was saved, instead of beginning.

The order: counters → `resumed` → the open scopes → loaders → values → generators. Handlers find the
counters when they open their scopes again, in a trainer whose weights and options are still those
that it was built with; so what a scope puts back at its end is what it found at the fit's begin.
"""

from __future__ import annotations

from contextlib import ExitStack

from ...events import SIGNALS, resumed
from ..statechart.phase_paths import open_scopes, scope_name
from .checkpointed_trainer import CheckpointedTrainer
from .fit_position import set_counters, set_the_rest
from .loader_position import reopen
from .training_state import Saved, load_values


def resume_fit(trainer: CheckpointedTrainer, saved: Saved) -> None:
    """Have `trainer` stand where `saved` was taken; no transition is made.

    Where that fails, the scopes that were opened are closed again, and the trainer rests.
    """
    state = trainer.state
    with ExitStack() as undo:
        undo.callback(setattr, state, "phase", state.phase)
        state.phase = saved["phase"]
        set_counters(state, saved["position"])
        resumed.send(trainer, state=state)
        for path in reversed(open_scopes(state.phase)):
            scope = scope_name(path)
            undo.callback(_call, trainer, f"after_{scope}", "closes_scope")
            _call(trainer, f"begin_{scope}", "opens_scope")
        reopen(state, saved["loaders"])
        set_the_rest(state, saved["position"])
        load_values(trainer, saved)
        undo.pop_all()


def _call(trainer: CheckpointedTrainer, signal: str, half: str) -> None:
    """Call those receivers of a signal that open, or close, a scope for a handler."""
    for receiver in list(SIGNALS[signal].receivers_for(trainer)):
        if getattr(receiver, half, False):
            receiver(trainer, trainer.state)
