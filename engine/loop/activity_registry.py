"""The activities of an engine by name, and the wraps around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ...events import TrainState
from ...events.handler_discovery import did_you_mean
from ..statechart.compiled_table import Activity

Wrapper = Callable[[Activity], Activity]


class ActivityRegistry:
    """Finds the activity of a leaf phase: the one whose name is the longest end of its path.

    A name is any end of a path, `forward` or `validate.batch.forward`. The last part `run`, of the
    leaf in which a scope does its work, is left out: `backward` names `….backward.run`.

    Args:
        activities: by name.
        outermost: wraps outside every other one.
        innermost: wraps inside every other one.
        shortcuts: see `Chart.shortcuts`.
        select_owner: wraps the activity of a phase, so that what it trains is current.
    """

    def __init__(
        self,
        activities: Mapping[str, Activity],
        outermost: Sequence[tuple[str, Wrapper]] = (),
        shortcuts: Mapping[str, str] = MappingProxyType({}),
        select_owner: Callable[[str, Activity], Activity] | None = None,
        innermost: Sequence[tuple[str, Wrapper]] = (),
    ) -> None:
        self._activities = dict(activities)
        self._wraps: list[tuple[str, Wrapper]] = []
        self._outermost = tuple(outermost)
        self._innermost = tuple(innermost)
        self._shortcuts = dict(shortcuts)
        self._select_owner = select_owner

    @property
    def names(self) -> list[str]:
        """Names that a wrap may use: those of the activities, and their last parts."""
        short = (name.rpartition(".")[2] for name in self._activities)
        return list(dict.fromkeys([*self._activities, *short]))

    def has_activity(self, phase: str) -> bool:
        """Whether a leaf has an activity."""
        path = phase.removesuffix(".run")
        return any(_ends_with(path, name) for name in self._activities)

    def activity_of(self, phase: str) -> Activity | None:
        """The activity of a leaf inside its wraps, the newest outside; None if it has none."""
        path = phase.removesuffix(".run")
        matching = [name for name in self._activities if _ends_with(path, name)]
        if not matching:
            return None
        activity = self._activities[max(matching, key=len)]
        for name, wrapper in (*self._innermost, *self._wraps, *self._outermost):
            if _ends_with(path, name):
                activity = wrapper(activity)
        if self._shortcuts:
            activity = self._with_shortcuts(activity)
        return activity if self._select_owner is None else self._select_owner(phase, activity)

    def _with_shortcuts(self, activity: Activity) -> Activity:
        """`activity`; for the trigger of a scope that was taken out, another one decides."""

        def decide(state: TrainState) -> str:
            trigger = activity(state)
            if trigger not in self._shortcuts:
                return trigger
            deciding = self.activity_of(self._shortcuts[trigger])
            return trigger if deciding is None else deciding(state)

        return decide

    def wrap(self, name: str, wrapper: Callable[[Any], Any]) -> Callable[[], None]:
        """Replace the activities called `name` by `wrapper(activity)`; returns the undo function.

        Raises:
            ValueError: no activity has this name; the message suggests the nearest one.
        """
        if name not in self.names:
            raise ValueError(
                f"there is no activity {name!r}{did_you_mean(name, self.names)}; "
                f"activities are {', '.join(self.names)}"
            )
        entry = (name, wrapper)
        self._wraps.append(entry)

        def undo() -> None:
            self._wraps[:] = [other for other in self._wraps if other is not entry]

        return undo


def _ends_with(path: str, name: str) -> bool:
    return path == name or path.endswith("." + name)
