"""The receivers that change the inputs of training batches, called again for further batches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from ...events import CancelBatchException, TrainerProtocol, TrainState, Transition
from ...events.bus.order import Receiver, receiver_name, unwrapped
from ...events.utils.nested import leaves
from .._torch_internals import version


class BatchAdapters:
    """Observes which receivers of `begin_batch` change the inputs, or skip a batch.

    Cost: for each receiver of `begin_batch`, until it is known, a look at the inputs.

    Args:
        trainer: observed until `stop` is called.
        is_needed: asked when a run begins; if it is false nothing is observed.

    Attributes:
        names: of the receivers; to be emptied when a fit begins.
    """

    def __init__(self, trainer: TrainerProtocol, is_needed: Callable[[], bool]) -> None:
        self.names: set[str] = set()
        self._trigger = f"begin_{trainer.state.unit_scope}"
        self._trainer = trainer
        self._is_needed = is_needed
        self.stop = trainer.instrument(self._observed)

    @contextmanager
    def open_batch(self, state: TrainState) -> Iterator[None]:
        """Let them change the live batch; their scopes are open in the block."""
        with ExitStack() as closing:
            for receiver in self._trainer.signals[self._trigger].receivers_for(self._trainer):
                if receiver_name(receiver) not in self.names:
                    continue
                scope_function = unwrapped(receiver)
                if inspect.isgeneratorfunction(scope_function):
                    scope = scope_function(self._trainer, state)
                    next(scope, None)
                    closing.callback(next, scope, None)
                else:
                    receiver(self._trainer, state=state)
            yield

    def _observed(self, receiver: Receiver, transition: Transition) -> Receiver:
        if transition.trigger != self._trigger or not self._is_needed():
            return receiver
        return _Observed(receiver, self.names)


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
