"""Limit the tokens that a fit trains on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

from torch import Tensor

from ...events import TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_no_class, check_whole_number
from ...events.utils.nested import leaves
from .._copying import Copyable
from .._writes import Writes
from ._fit_end import end_fit_with_batch


class TokenLimit(Copyable):
    """Ends the fit with the training batch that reaches a number of tokens.

    As with StepLimit, the current epoch is the last one, its validation follows, and the fit is
    completed, not cancelled. Cancelled batches count, too. Gradients that are accumulated are
    stepped with the last batch, and schedules end there.

    Signals: begin_fit, begin_batch, after_batch, after_fit
    Reads: xb, training, epoch, batch_index
    Writes: limits, tokens; then batches, n_batches, n_epochs
    Cost: no sync, if `count` makes none
    Does not: leave out padding, unless `count` does, or shorten a batch

    Args:
        tokens: tokens in a fit, from 1.
        count: `count(state)` returns the tokens of the batch; None: the elements of the first
            tensor of the inputs, padding included.

    Raises:
        TypeError: `tokens` is not an int, `count` not a function.
        ValueError: `tokens` is below 1; at a batch, the inputs have no tensor.
    """

    reads = ("xb", "training", "epoch", "batch_index")
    writes: ClassVar[Writes] = {
        "begin_fit": ("limits.tokens",),
        "begin_batch": ("batches", "n_batches", "n_epochs"),
        "after_batch": ("tokens",),
        "after_fit": ("limits.tokens",),
    }

    def __init__(self, tokens: int, count: Callable[[TrainState], int] | None = None) -> None:
        check_whole_number(f"TokenLimit({tokens!r})", tokens, least=1)
        check_no_class("TokenLimit(count=…)", count)
        if count is not None and not callable(count):
            raise TypeError(f"TokenLimit(count={count!r}): expected a function of the state")
        self.tokens = tokens
        self.count = count or _count_elements
        self._in_batch = 0

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        state.limits["tokens"] = self.tokens
        try:
            yield
        finally:
            state.limits.pop("tokens", None)

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not state.training:
            return
        self._in_batch = int(self.count(state))
        if state.tokens + self._in_batch >= self.tokens:
            end_fit_with_batch(state)

    def after_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.training:
            state.tokens += self._in_batch
            self._in_batch = 0


def _count_elements(state: TrainState) -> int:
    first: Tensor | None = next(leaves(state.xb, only=Tensor), None)
    if first is None:
        raise ValueError(
            f"TokenLimit cannot count the tokens of a {type(state.xb).__name__}, as inputs, which "
            "has no tensor; pass count=, a function of the state"
        )
    return first.numel()
