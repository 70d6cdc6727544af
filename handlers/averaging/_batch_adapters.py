"""The receivers that change the inputs of training batches, called again for further batches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from torch import Tensor

from ...events import CancelBatchException, TrainerProtocol, TrainState, Transition
from ...events.bus.order import Receiver, receiver_name, unwrapped
from ...events.utils.exact_context import exact_context
from ...events.utils.nested import leaves
from .._torch_internals import version


class BatchAdapters:
    """Observes which receivers of `begin_batch` change the inputs, or skip a batch.

    Cost: for each receiver of `begin_batch`, until it is known, a look at the inputs.

    Attributes:
        names: of the receivers; to be emptied when a fit begins.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()

    def observe(
        self, trainer: TrainerProtocol, are_needed: Callable[[TrainState], bool]
    ) -> Callable[[], None]:
        """Observe the fits of a trainer, until the returned function is called.

        Args:
            are_needed: asked when a run begins; if it is false nothing is observed.
        """
        state = trainer.state
        trigger = f"begin_{state.unit_scope}"

        def observed(receiver: Receiver, transition: Transition) -> Receiver:
            if transition.trigger != trigger or not are_needed(state):
                return receiver
            return _Observed(receiver, self.names)

        return trainer.instrument(observed)

    @exact_context
    def open_batch(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        """Let them change the live batch; their scopes are open in the block."""
        begun = trainer.signals[f"begin_{state.unit_scope}"]
        with ExitStack() as closing:
            for receiver in begun.receivers_for(trainer):
                if receiver_name(receiver) not in self.names:
                    continue
                scope_function = unwrapped(receiver)
                if inspect.isgeneratorfunction(scope_function):
                    scope = scope_function(trainer, state)
                    next(scope, None)
                    closing.callback(next, scope, None)
                else:
                    receiver(trainer, state=state)
            yield


class _Observed:
    """Calls a receiver; adds its name if it changes the inputs of a training batch."""

    def __init__(self, receiver: Receiver, names: set[str]) -> None:
        self.__wrapped__ = receiver
        self.name = receiver_name(receiver)
        self.names = names

    def __call__(self, trainer: Any, state: TrainState) -> None:
        receive: Receiver = self.__wrapped__
        if not state.training or self.name in self.names:
            receive(trainer, state)
            return
        before = [*leaves(state.xb)]
        versions = _versions(before)
        try:
            receive(trainer, state)
        except CancelBatchException:
            self.names.add(self.name)
            raise
        after = [*leaves(state.xb)]
        if not _are_same(before, after) or _versions(after) != versions:
            self.names.add(self.name)


def _are_same(before: Sequence[Any], after: Sequence[Any]) -> bool:
    return len(before) == len(after) and all(map(lambda a, b: a is b, before, after))


def _versions(parts: Sequence[Any]) -> list[int]:
    return [version(part) for part in parts if isinstance(part, Tensor)]
