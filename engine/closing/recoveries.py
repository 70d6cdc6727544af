"""What becomes of a retry or a rollback: the scope to which the run goes back, or an error."""

from __future__ import annotations

from collections.abc import Mapping

from ...events import Cancel, IllegalCancelError, Recovery, RecoveryError, TrainState
from ...events.recovery import BEGIN_RETRY
from ..statechart.compiled_table import LeafPhase
from ..statechart.phase_paths import inside, open_scopes, scope_name
from .raised_exception import cancel_text, read_text


def as_recovery(cancel: BaseException | None) -> Recovery | None:
    """The same if it is a recovery; `isinstance` would ask a `__class__` of its own."""
    return cancel if issubclass(type(cancel), Recovery) else None  # type: ignore[return-value]


def announcing_trigger(cancel: Cancel | None, scope: str) -> str:
    """The trigger that is fired when the scopes inside of `scope`, a path, are closed."""
    recovery = as_recovery(cancel)
    return f"after_cancel_{scope_name(scope)}" if recovery is None else recovery.trigger


def goes_on(cancel: Cancel | None, leaf: LeafPhase) -> bool:
    """Whether `cancel`, whose trigger was fired, closes no more scopes: the run goes on here."""
    return as_recovery(cancel) is not None and leaf.activity is not None


def scope_to_close(cancel: Cancel, leaf: LeafPhase) -> str | None:
    """Path of the innermost open scope that `cancel` names; None if it is not open.

    Of a recovery, that inside of which its row goes back; None if the chart has no such row.
    """
    if (recovery := as_recovery(cancel)) is None:
        return next(iter(open_scopes(leaf.phase, read_text(cancel, "scope"))), None)
    row = leaf.rows.get(recovery.trigger)
    if row is None:
        return None
    return next(path for path in open_scopes(leaf.phase) if inside(row.leaf.phase, path))


def is_weaker(cancel: Cancel, scope: str, pending: Cancel, pending_scope: str) -> bool:
    """Whether `pending` asks for as much as `cancel`: for a larger scope, or to stop.

    Args:
        scope, pending_scope: the paths of what they close.
    """
    new, old = as_recovery(cancel), as_recovery(pending)
    if new is not None and old is not None and new.trigger == old.trigger:
        return True  # a retry of the batch may begin inside of its backward pass
    return (len(scope), new is not None) >= (len(pending_scope), old is not None)


def refusal(
    cancel: Cancel, by: str, state: TrainState, leaf: LeafPhase, table: Mapping[str, LeafPhase]
) -> RuntimeError | None:
    """The error of a recovery that the chart has no row for in `leaf`, or whose budget is used up.

    Args:
        by: who raised it.
    """
    if (recovery := as_recovery(cancel)) is None:
        return None
    if scope_to_close(recovery, leaf) is None:
        error: RuntimeError | None = _illegal(recovery, by, leaf.phase, table)
    else:
        error = _exceeded(recovery, by, state)
    if error is not None:
        error.__cause__ = cancel
    return error


def _illegal(
    cancel: Recovery, by: str, phase: str, table: Mapping[str, LeafPhase]
) -> IllegalCancelError:
    legal = [leaf for leaf, each in table.items() if cancel.trigger in each.rows]
    where = f"allowed in {', '.join(legal)}" if legal else "the chart has no such row at all"
    return IllegalCancelError(
        f"{cancel_text(cancel)} raised by {by} in {phase}: no row {cancel.trigger} leads out of "
        f"it; {where}"
    )


def _exceeded(cancel: Recovery, by: str, state: TrainState) -> RecoveryError | None:
    is_retry = cancel.trigger == BEGIN_RETRY
    made = state.attempt if is_retry else len(state.rollbacks)
    if made < cancel.budget:
        return None
    what = "this batch was run again" if is_retry else "this fit was rolled back"
    where = f"epoch {state.epoch + 1}, batch {state.batch_index + 1}"
    return RecoveryError(
        f"{cancel_text(cancel)} raised by {by} in {where}: "
        f"its budget={cancel.budget} is used up, {what} {made} times already"
    )
