"""The activities of an engine by name, and the wraps around them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from ...events import TrainState
from ...events.bus.order import receiver_name
from ...events.utils.similar_names import did_you_mean
from ..statechart.compiled_table import Activity
from ..statechart.dissolving import Shortcut
from .used_gradients import clear_if_used

Wrapper = Callable[[Activity], Activity]
_STEP = ".step.run"


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
        phases: returns the leaves, by whose paths a wrap may name an activity.
        origins: see `Chart.origins`.
    """

    def __init__(
        self,
        activities: Mapping[str, Activity],
        outermost: Sequence[tuple[str, Wrapper]] = (),
        shortcuts: Mapping[str, Shortcut] = MappingProxyType({}),
        select_owner: Callable[[str, Activity], Activity] | None = None,
        innermost: Sequence[tuple[str, Wrapper]] = (),
        phases: Callable[[], Iterable[str]] = tuple,
        origins: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._activities = dict(activities)
        self._wraps: list[tuple[str, Wrapper]] = []
        self._outermost = tuple(outermost)
        self._innermost = tuple(innermost)
        self._shortcuts = dict(shortcuts)
        self._select_owner = select_owner
        self._phases = phases
        self._origins = dict(origins)
        self._names: dict[str, str | None] = {}

    def functions(self) -> list[Callable[..., Any]]:
        """All activities and wraps, as they were given."""
        return [*self._activities.values(), *(wrapper for _, wrapper in self._wraps)]

    def names_in(self, phases: Iterable[str]) -> list[str]:
        """Names that a wrap may use: every end of the path of a leaf that has an activity."""
        deciding = (shortcut.phase for shortcut in self._shortcuts.values())
        leaves = (phase for phase in (*phases, *deciding) if self.base_of(phase))
        return list(dict.fromkeys(end for leaf in leaves for end in path_ends(leaf)))

    def base_of(self, phase: str) -> Activity | None:
        """The activity of a leaf without its wraps; None if it has none."""
        name = self.name_for(phase)
        return None if name is None else self._activities[name]

    def name_for(self, phase: str) -> str | None:
        """The name by which a leaf has its activity; None if it has none."""
        if phase not in self._names:
            self._names[phase] = self._find_name(phase)
        return self._names[phase]

    def _find_name(self, phase: str) -> str | None:
        for path in (phase, self._origins.get(phase, phase)):
            for name in reversed(path_ends(path)):
                if name in self._activities:
                    return name
        return None

    def activity_of(self, phase: str) -> Activity | None:
        """The activity of a leaf inside its wraps, the newest outside; None if it has none."""
        activity = self._wrapped(phase)
        if activity is None:
            return None
        if phase.endswith(_STEP) and activity is not self.base_of(phase):
            clear = self._wrapped(phase.removesuffix(_STEP) + ".zero_grad")
            activity = activity if clear is None else clear_if_used(activity, clear)
        if any(phase in shortcut.sources for shortcut in self._shortcuts.values()):
            activity = self._with_shortcuts(activity)
        return activity if self._select_owner is None else self._select_owner(phase, activity)

    def is_wrapped(self, phase: str, kind: type) -> bool:
        """Whether one of the outermost wraps of a leaf is of a class."""
        path = phase.removesuffix(".run")
        return any(_ends_with(path, n) and isinstance(wrap, kind) for n, wrap in self._outermost)

    def wraps_of(self, phase: str) -> list[Wrapper]:
        """The wraps of a leaf, innermost first, without those of the trainer inside all others."""
        path = phase.removesuffix(".run")
        return [wrapper for n, wrapper in (*self._wraps, *self._outermost) if _ends_with(path, n)]

    def _wrapped(self, phase: str) -> Activity | None:
        activity = self.base_of(phase)
        if activity is None:
            return None
        path = phase.removesuffix(".run")
        for name, wrapper in (*self._innermost, *self._wraps, *self._outermost):
            if _ends_with(path, name):
                activity = _checked(wrapper(activity), name, wrapper)
        return activity

    def _with_shortcuts(self, activity: Activity) -> Activity:
        """`activity`; for the trigger of a scope that was taken out, another one decides."""
        deciding = {
            trigger: found
            for trigger, shortcut in self._shortcuts.items()
            if (found := self._wrapped(shortcut.phase)) is not None
        }

        def decide(state: TrainState) -> str:
            trigger = activity(state)
            while trigger in deciding:
                trigger = deciding[trigger](state)
            return trigger

        return decide

    def replace(self, phase: str, activity: Activity) -> None:
        """Run `activity` in a leaf, in place of its own and of every wrap around that."""
        self._outermost += ((phase.removesuffix(".run"), lambda _: activity),)

    def wraps_without(self, handlers: Collection[int]) -> list[tuple[str, Wrapper]]:
        """The wraps that are not methods of one of some handlers, given by their `id`."""
        return [
            (name, wrapper)
            for name, wrapper in self._wraps
            if id(getattr(wrapper, "__self__", None)) not in handlers
        ]

    def wrap(self, name: str, wrapper: Callable[[Any], Any]) -> Callable[[], None]:
        """Replace the activities called `name` by `wrapper(activity)`; returns the undo function.

        Raises:
            TypeError: the wrapper is no function.
            ValueError: no activity has this name; the message suggests the nearest one.
        """
        if not callable(wrapper):
            raise TypeError(
                f"wrap({name!r}, {wrapper!r}): found a {type(wrapper).__name__}; allowed: a "
                "function that takes the activity and returns another one"
            )
        names = self.names_in(self._phases())
        if name not in names:
            raise ValueError(
                f"there is no activity {name!r}{did_you_mean(name, names)}; activities are "
                f"{', '.join(short for short in names if '.' not in short)}"
            )
        entry = (name, wrapper)
        self._wraps.append(entry)

        def undo() -> None:
            self._wraps[:] = [other for other in self._wraps if other is not entry]

        return undo


def _checked(wrapped: Any, name: str, wrapper: Wrapper) -> Activity:
    """What a wrapper has made of an activity.

    Raises:
        TypeError: names the wrapper, and what it has returned.
    """
    if not callable(wrapped):
        raise TypeError(
            f"{receiver_name(wrapper)}, a wrap of {name!r}, returned a {type(wrapped).__name__}; "
            "expected an activity: a function that takes the state and returns a trigger"
        )
    return wrapped  # type: ignore[no-any-return]


@cache
def path_ends(phase: str) -> tuple[str, ...]:
    """Every name of the activity of a phase, the shortest first."""
    parts = phase.removesuffix(".run").split(".")
    return tuple(".".join(parts[n:]) for n in range(len(parts) - 1, -1, -1))


def _ends_with(path: str, name: str) -> bool:
    return path == name or path.endswith("." + name)
