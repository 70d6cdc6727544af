"""The error of a cancel whose scope is not open, or is closing already."""

from __future__ import annotations

from collections.abc import Sequence

from ...events import Cancel, IllegalCancelError
from ..statechart.phase_paths import open_scopes, scope_name
from .raised_exception import cancel_text, read_text


def illegal_cancel(
    cancel: Cancel, by: str, phase: str, announced: str, around: Sequence[str]
) -> IllegalCancelError:
    """The error that says what was raised, where, and what is legal there.

    Args:
        by: who raised it, in `phase`.
        announced: the path of the scope whose cancel was announced; empty: none.
        around: names of the scopes that are open in the runs around this one.
    """
    name = read_text(cancel, "scope")
    scopes = [scope_name(path) for path in open_scopes(phase)]
    closing = bool(open_scopes(phase, name))
    legal = [scope for scope in scopes if not (announced and scope == name)]
    outside = f"; in the run around this one: {', '.join(around)}" if around else ""
    error = IllegalCancelError(
        f"{cancel_text(cancel)} raised by {by} in {phase}: "
        f"{'the' if closing else 'no'} {name} is {'closing' if closing else 'open'}"
        f"{' already' if closing else ''}; open here: {', '.join(legal) or 'nothing'}{outside}"
    )
    error.__cause__ = cancel
    return error
