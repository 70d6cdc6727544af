"""What leads a rank to the unwinding, or out of a handler, for what any rank has raised."""

from __future__ import annotations

from collections.abc import Sequence

from ...events import PeerError
from ..closing.raised_exception import Raised
from .peer_records import Record, merged


class MissedExchange(BaseException):
    """Leaves a handler whose exchange does not take place; the run acts on why at its next vote."""


class AgreedRaise(BaseException):
    """Leads into the unwinding with what all ranks have raised; user code never sees it.

    Args:
        phase: the one in which that vote was opened, if this rank has gone on since.
    """

    def __init__(self, raised: list[Raised], phase: str = "") -> None:
        self.raised = raised
        self.phase = phase


def chosen_apart(phase: str) -> PeerError:
    """The error of ranks that have made different choices in a phase."""
    return PeerError(
        f"the ranks do not agree on what follows {phase}: a handler has changed a loader, or what "
        "decides about a validation, on some ranks only"
    )


def exchanged_apart(phase: str) -> PeerError:
    """The error of ranks whose handlers do not exchange the same in a phase."""
    return PeerError(
        f"a handler exchanges something with the other ranks in {phase} on some ranks only: it is "
        "attached, or acts, on those only"
    )


def why_parted(
    told: Sequence[Sequence[Record]], rank: int, phases: Sequence[str], phase: str
) -> PeerError:
    """The error of ranks in different phases: that of another rank, if one has failed.

    Args:
        told: what the ranks have raised, if any has.
        rank: this one.
        phases: those in which the ranks are.
        phase: that of this rank.
    """
    failed = (one.error for one in merged([], told, rank, ()))
    parted = PeerError(
        f"the ranks are in different phases, {' and '.join(phases)}: their charts, activities or "
        "loaders differ, or the checkpoints from which they have resumed; rank "
        f"{rank} is in {phase}"
    )
    return next((error for error in failed if isinstance(error, PeerError)), parted)
