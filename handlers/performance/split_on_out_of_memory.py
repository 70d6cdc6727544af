"""Splitting a batch that does not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch

from ...events import CancelBatchException, RetryBatchException, TrainerProtocol, TrainState
from ...events.recovery import BEGIN_RETRY
from ...events.utils.exact_context import exact_context
from ...events.utils.exception_text import add_note
from ...events.utils.nested import leaves
from .._copying import KnownTrainers, LastTrainer, LeftOut
from .._stateful import Stateful
from ..optimization._optimizer_parameters import parameters

Activity = Callable[[TrainState], str]

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


_HALVINGS = 64
"""More often no batch can be halved."""


class SplitOnOutOfMemory(Stateful):
    """Runs a batch that does not fit into memory again, in halves or smaller parts.

    The batch stays open, and its forward pass runs again. The model then gets it in parts;
    prediction and loss are computed for the whole batch, so any loss works, and the gradient is the
    same except for rounding. The size that fitted is kept for later batches, one for training and
    one for validation and prediction, until the handler is attached to another trainer. Layers that
    use a whole batch, such as batch norm, see the parts; scalars in the model's output, such as its
    own loss, are averaged over the examples.
    Inputs are tensors `(B, …)` and lists with an entry for each example, in any containers; a
    packed sequence, a graph or another object cannot be split, and raises the error. Distributed
    refuses it.

    Signals: nothing; wraps forward, loss and backward
    Reads: batch_size, xb, model, training, phase
    Writes: pred; the gradients
    Raises: RetryBatchException; CancelBatchException where the chart has no row for it, as in the
        closure of an optimizer; the error itself, when a single example does not fit
    Cost: no sync; the forward pass of a split training batch runs twice, because only one part at a
        time keeps its activations: if most batches are split, smaller batches and
        GradientAccumulation are faster. Accumulated gradients need their memory twice
    Does not: split packed sequences, graphs and other objects, or work in several processes
    Source: Luyu Gao and others, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
        Setup", 2021, for a loss over parts

    Attributes:
        train_size: number of examples in a part in training; None: whole batches.
        valid_size: the same for validation and prediction.
    """

    reads = ("batch_size", "xb", "model", "training", "phase")

    single_process = "one rank would run a batch again that the others have left behind"

    left_out: ClassVar[LeftOut] = {"_trainers": KnownTrainers}

    saved = ("train_size", "valid_size")

    def __init__(self) -> None:
        self.train_size: int | None = None
        self.valid_size: int | None = None
        self._trainers = KnownTrainers()
        self._last = LastTrainer()

    def attached(self, trainer: TrainerProtocol) -> None:
        self._trainers.add(trainer)
        if self._last.changes_to(trainer):  # another model may need less memory
            self.train_size = self.valid_size = None

    def wrap_forward(self, forward: Activity) -> Activity:
        def split_forward(state: TrainState) -> str:
            size, trainer = self._size(state), self._trainers.of(state)
            if size < state.batch_size and trainer is not None:
                return trainer.forward_in_parts(forward, size)
            return forward(state)

        return self._retry(split_forward)

    def wrap_loss(self, loss: Activity) -> Activity:
        return self._retry(loss)

    def wrap_backward(self, backward: Activity) -> Activity:
        def clean_backward(state: TrainState) -> str:
            with _discard_partial_gradients(state):
                return backward(state)

        return self._retry(clean_backward)

    def _size(self, state: TrainState) -> int:
        size = self.train_size if state.training else self.valid_size
        return min(size or state.batch_size, state.batch_size)

    def _retry(self, activity: Activity) -> Activity:
        """Wrap an activity: when it runs out of memory, its batch runs again in smaller parts."""

        def attempt(state: TrainState) -> str:
            try:
                return activity(state)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(state, error)
            # not in the except block: the frames of the attempt, and their tensors, are freed here
            state.pred = state.loss = None
            size = self._size(state)
            if not _can_run_again(self._trainers.of(state), state):
                raise CancelBatchException(
                    "out of memory where the batch cannot run again: its rest is skipped, and "
                    f"later ones run {size} examples at a time"
                )
            reason = f"out of memory; it runs again, {size} examples at a time"
            raise RetryBatchException(reason, budget=_HALVINGS)

        return attempt

    def _halve(self, state: TrainState, error: RuntimeError) -> None:
        size, trainer = self._size(state), self._trainers.of(state)
        if size < 2 or trainer is None or not trainer.can_be_split:
            add_note(
                error,
                f"SplitOnOutOfMemory: {state.batch_size} examples ({_shapes(state.xb)}) were run "
                f"{size} at a time, and cannot be split further",
            )
            raise error
        if state.training:
            self.train_size = (size + 1) // 2
        else:
            self.valid_size = (size + 1) // 2


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device or the CPU allocator reports that it is out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        text in str(error) for text in _OUT_OF_MEMORY
    )


def _can_run_again(trainer: TrainerProtocol | None, state: TrainState) -> bool:
    """Whether the chart has a row for a retry from the live phase; that of an evaluation has."""
    if trainer is None or state.job != "fit":
        return True
    rows = [row for row in trainer.topology.rows if row[0] == BEGIN_RETRY]
    sources = [
        source for row in rows for source in ([row[1]] if isinstance(row[1], str) else row[1])
    ]
    return any(f"{state.phase}.".startswith(f"{source}.") for source in sources)


def _shapes(xb: Any) -> str:
    return " ".join(str(tuple(t.shape)) for t in leaves(xb, torch.Tensor)) or type(xb).__name__


@exact_context
def _discard_partial_gradients(state: TrainState) -> Iterator[None]:
    """Drop the gradients of a backward pass that runs out of memory; keep the earlier ones."""
    before = [(p, p.grad) for p in parameters(state) if p.grad is not None]
    for parameter, _ in before:
        parameter.grad = None
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            for parameter in parameters(state):
                parameter.grad = None
        raise
    finally:
        for parameter, gradient in before:
            if parameter.grad is not None:
                gradient.add_(parameter.grad)
            parameter.grad = gradient
