"""The state of a handler in a checkpoint."""

from __future__ import annotations

from typing import Any, ClassVar

from ._copying import Copyable, LeftOut, nothing


class Stateful(Copyable):
    """A handler that saves some of its attributes in a checkpoint, and restores them.

    With an empty `saved` the handler declares that its state during a fit need not be saved: when
    a fit resumes, the handler computes it again.
    """

    saved: ClassVar[tuple[str, ...]] = ()
    """The names of the attributes to save."""

    def state_dict(self) -> dict[str, Any]:
        """The values of the saved attributes."""
        return {name.lstrip("_"): getattr(self, name) for name in self.saved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the saved attributes."""
        for name in self.saved:
            setattr(self, name, state[name.lstrip("_")])


class SchedulerHandler(Stateful):
    """A handler that also saves the torch scheduler of the current fit.

    Attributes:
        scheduler: made when a fit begins; None outside of a fit.
        total: the number of steps that it was made for; None if it does not depend on them.
    """

    left_out: ClassVar[LeftOut] = {"scheduler": nothing, "_plan": nothing}

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
                f"{self.total} now; resume with the same number of epochs, or begin a new fit "
                "with the weights"
            )
        self.scheduler.load_state_dict(state["scheduler"])
