"""Copies and pickles of handlers: without what belongs to the trainer that they are attached to."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeAlias
from weakref import WeakSet, ref

from ..events import Handler, TrainerProtocol, TrainState
from ..events.utils.nested import leaves

LeftOut: TypeAlias = Mapping[str, Callable[[], Any]]
"""Names of attributes, and functions that make their values in a copy."""


def nothing() -> None:
    """The value in a copy of an attribute that is None outside of a fit."""


class Copyable(Handler):
    """A handler that can be copied and pickled, attached or not.

    A copy is attached to no trainer. It has the options of the original, and what that remembers
    of its fits.
    """

    left_out: ClassVar[LeftOut] = {}
    """Attributes that belong to a trainer or to a fit."""
    shared: ClassVar[tuple[str, ...]] = ()
    """Attributes that belong to the process, and are not copied with the handler."""

    def __getstate__(self) -> dict[str, Any]:
        kept = vars(self)
        return kept | {name: make() for name, make in self.left_out.items() if name in kept}

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Prepare for `pickle`.

        Raises:
            TypeError: pickle refuses a value, such as a lambda or an open file; it is named.
        """
        for name, value in self.__getstate__().items():
            for part in leaves(value):
                _check_picklable(f"{type(self).__name__}: its {name}", part)
        return super().__reduce_ex__(protocol)

    def __copy__(self) -> Self:
        return self._made_with(self.__getstate__())

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        state = self.__getstate__()
        files = [part for part in leaves(state) if isinstance(part, io.IOBase)]
        memo |= {id(file): file for file in files}  # a copy writes to the same one
        memo |= {id(state[name]): state[name] for name in self.shared if name in state}
        return self._made_with(copy.deepcopy(state, memo))

    def _made_with(self, attributes: Mapping[str, Any]) -> Self:
        made = object.__new__(type(self))
        vars(made).update(attributes)
        return made


class LastTrainer:
    """The trainer to which a handler was attached before; a copy knows none."""

    def __init__(self) -> None:
        self._state: Callable[[], Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return LastTrainer, ()

    def changes_to(self, trainer: TrainerProtocol) -> bool:
        """Whether it was another one; from now on it is `trainer`."""
        before, self._state = self._state, ref(trainer.state)
        return before is not None and before() is not trainer.state


class KnownTrainers:
    """The trainers to which a handler was attached, for wraps, which get the state alone."""

    def __init__(self) -> None:
        self._trainers: WeakSet[TrainerProtocol] = WeakSet()

    def __reduce__(self) -> tuple[Any, ...]:
        return KnownTrainers, ()

    def add(self, trainer: TrainerProtocol) -> None:
        """Remember a trainer, for as long as something else refers to it."""
        self._trainers.add(trainer)

    def of(self, state: TrainState) -> TrainerProtocol | None:
        """The one that a state belongs to; None if it is not known."""
        return next((known for known in self._trainers if known.state is state), None)


def _check_picklable(what: str, value: Any) -> None:
    try:
        pickle.dumps(value)
    except Exception as error:
        raise TypeError(
            f"cannot pickle {what} is a {type(value).__name__} that pickle refuses ({error}); "
            "allowed: what pickle finds by name, such as a function at the top level of a module, "
            "or functools.partial of one"
        ) from error
