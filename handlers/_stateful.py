"""What a handler remembers, as a checkpoint keeps it."""

from __future__ import annotations

from typing import Any, ClassVar


class Saved:
    """Saves some of its attributes, and sets them again.

    A handler with none declares that what changes in it during a fit is not worth saving: it is
    found again by what the handler does when a fit goes on.
    """

    saved: ClassVar[tuple[str, ...]] = ()
    """The names of attributes that hold data."""

    def state_dict(self) -> dict[str, Any]:
        """Their values."""
        return {name.lstrip("_"): getattr(self, name) for name in self.saved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set them."""
        for name in self.saved:
            setattr(self, name, state[name.lstrip("_")])


class SavedScheduler(Saved):
    """Saves the scheduler of torch that it has made for the live fit, too.

    Attributes:
        total: the steps that it was made for; None if they do not matter.
    """

    scheduler: Any
    total: int | None = None

    def state_dict(self) -> dict[str, Any]:
        scheduler = None if self.scheduler is None else self.scheduler.state_dict()
        return {**super().state_dict(), "scheduler": scheduler, "total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if self.scheduler is None or state["scheduler"] is None:
            return
        if state["total"] != self.total:
            raise ValueError(
                f"{type(self).__name__} has planned {state['total']} steps, and the fit has "
                f"{self.total} now; go on with as many epochs, or begin a new fit with the weights"
            )
        self.scheduler.load_state_dict(state["scheduler"])
