"""Resume a fit from a state dict.

Order: counters → `resumed` → the open scopes → position → loaders → weights and states →
generators. When handlers reopen their scopes, the counters are restored, but weights and options
are still those that the trainer was built with: what a scope restores when it closes is as before
the fit.

A handler may refuse when it hears `resumed`, reopens its scope or loads its state. Then all scopes
close, and `after_fit` is sent, so that handlers release what they acquired at `resumed`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...events import SIGNALS, resumed
from ...events.bus.order import Receiver
from ...events.utils.exception_text import add_note, traceback_text
from ..statechart.phase_paths import open_scopes, scope_name
from .checkpointed_trainer import CheckpointedTrainer
from .fit_position import restore_counters, restore_position
from .loader_position import restore_loaders
from .training_state import StateDict, load_training_state


def resume_fit(trainer: CheckpointedTrainer, saved: StateDict) -> None:
    """Restore the trainer to where `saved` was captured, without firing a transition.

    If that fails, the scopes that were opened are closed, and the phase is reset.
    """
    state, before = trainer.state, trainer.state.phase
    state.phase = saved["phase"]
    try:
        restore_counters(state, saved["position"])
        resumed.send(trainer, state=state)
        for path in reversed(open_scopes(state.phase)):
            _call(trainer, _receivers(trainer, f"begin_{scope_name(path)}", "opens_scope"))
        restore_position(state, saved["position"])
        restore_loaders(state, saved["loaders"])
        load_training_state(trainer, saved)
    except BaseException as error:
        end_resumed_fit(trainer, before, error)
        raise


def end_resumed_fit(trainer: CheckpointedTrainer, phase: str, error: BaseException) -> None:
    """Close the scopes of a resumed fit that makes no transition, and set the phase.

    Every receiver is called. Raises: an interrupt that one of them raised; other errors are notes
    on `error`.
    """
    state = trainer.state
    state.outcome, state.cancel, state.error = "failed", None, error
    *inner, fit = open_scopes(state.phase)
    receivers = [
        receiver
        for path in inner
        for receiver in _receivers(trainer, f"after_{scope_name(path)}", "closes_scope")
    ]
    try:
        _call_all(trainer, receivers, error)
        state.phase = phase
        _call_all(trainer, SIGNALS[f"after_{scope_name(fit)}"].receivers_for(trainer), error)
    finally:
        state.phase, state.error = phase, None


def _receivers(trainer: CheckpointedTrainer, signal: str, marker: str) -> list[Receiver]:
    """The receivers of a signal that have `marker`: they open or close a handler's scope."""
    receivers = SIGNALS[signal].receivers_for(trainer)
    return [receiver for receiver in receivers if getattr(receiver, marker, False)]


def _call(trainer: CheckpointedTrainer, receivers: Iterable[Receiver]) -> None:
    for receiver in receivers:
        receiver(trainer, trainer.state)


def _call_all(
    trainer: CheckpointedTrainer, receivers: Iterable[Receiver], error: BaseException
) -> None:
    interrupt: BaseException | None = None
    for receiver in list(receivers):
        try:
            receiver(trainer, trainer.state)
        except Exception as other:
            text = traceback_text(other)
            add_note(error, f"trackside: also raised while the fit was closed: {text}")
        except BaseException as raised:
            interrupt = raised if interrupt is None else interrupt
    if interrupt is not None:
        raise interrupt from error
