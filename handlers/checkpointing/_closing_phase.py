"""The phase in which a fit is saved while its scopes close."""

from __future__ import annotations

from collections.abc import Iterator

from ...events import TrainState
from ...events.utils.exact_context import exact_context


@exact_context
def phase_set_to(state: TrainState, phase: str) -> Iterator[None]:
    """Set the phase for a block in which a scope closes, as if it was still open."""
    current, state.phase = state.phase, phase
    try:
        yield
    finally:
        state.phase = current
