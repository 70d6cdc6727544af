"""Splitting a batch that does not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, ClassVar

import torch

from ...events import CancelBatchException, TrainerProtocol, TrainState
from ...events.utils.exact_context import exact_context
from ...events.utils.exception_text import add_note
from ...events.utils.nested import leaves
from .._copying import Copyable, LastTrainer, LeftOut, nothing
from ..optimization._optimizer_parameters import parameters
from ._batch_parts import is_splittable, join_parts, split_batch
from ._recompute import recompute_in_backward

Activity = Callable[[TrainState], str]

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


class SplitOnOutOfMemory(Copyable):
    """Runs a batch that does not fit into memory again, in halves or smaller parts.

    The batch is cancelled, and runs again with the same index. The model then gets it in parts;
    prediction and loss are computed for the whole batch, so any loss works, and the gradient is the
    same except for rounding. The size that fitted is kept for later batches, one for training and
    one for validation and prediction, until the handler is attached to another trainer. Layers that
    use a whole batch, such as batch norm, see the parts; scalars in the model's output, such as its
    own loss, are averaged over the examples.
    Inputs are tensors `(B, …)` and lists with an entry for each example, in any containers; a
    packed sequence, a graph or another object cannot be split, and raises the error. Distributed
    refuses it.

    Signals: nothing; wraps fetch, forward, loss and backward
    Reads: batch, batch_size, xb, model, training
    Writes: batches, batch_index and samples, to run the batch again; pred; the gradients
    Raises: CancelBatchException; the error itself, when a single example does not fit
    Cost: no sync; the forward pass of a split training batch runs twice, because only one part at a
        time keeps its activations: if most batches are split, smaller batches and
        GradientAccumulation are faster. Accumulated gradients need their memory twice
    Source: Luyu Gao and others, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
        Setup", 2021, for a loss over parts

    Attributes:
        train_size: number of examples in a part in training; None: whole batches.
        valid_size: the same for validation and prediction.
    """

    single_process = "one rank would run a batch again that the others have left behind"

    left_out: ClassVar[LeftOut] = {"_state": nothing, "_repeated": nothing}

    def __init__(self) -> None:
        self.train_size: int | None = None
        self.valid_size: int | None = None
        self._repeated: _RepeatedBatch | None = None
        self._state: TrainState | None = None
        self._step = 0  # updates made before this batch
        self._trainer = LastTrainer()

    def attached(self, trainer: TrainerProtocol) -> None:
        self._state = trainer.state
        if self._trainer.changes_to(trainer):  # another model may need less memory
            self.train_size = self.valid_size = None

    def detached(self, trainer: TrainerProtocol) -> None:
        self._repeated = None

    def state_dict(self) -> dict[str, Any]:
        repeated = self._repeated
        return {
            "train_size": self.train_size,
            "valid_size": self.valid_size,
            "put_back": repeated and {"batch": repeated.batch, "samples": repeated.samples},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.train_size, self.valid_size = state["train_size"], state["valid_size"]
        saved, live = state["put_back"], self._state
        if saved is not None and live is not None and live.batches is not None:
            self._repeated = _RepeatedBatch(live.batches, saved["batch"], saved["samples"])

    def wrap_fetch(self, fetch: Activity) -> Activity:
        def fetch_again(state: TrainState) -> str:
            repeated, self._repeated = self._repeated, None
            if repeated is not None and repeated.batches is state.batches:  # still the same pass
                repeated.undo_fetch(state)
            self._step = state.step
            return fetch(state)

        return fetch_again

    def wrap_forward(self, forward: Activity) -> Activity:
        def split_forward(state: TrainState) -> str:
            size = self._size(state)
            if size < state.batch_size:
                return _forward_in_parts(forward, state, size)
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
            if state.batches is None or (state.training and state.step != self._step):
                raise CancelBatchException(
                    "out of memory where the batch cannot run again: its rest is skipped, and "
                    f"later ones run {size} examples at a time"
                )
            samples = state.batch_size if state.training else 0
            self._repeated = _RepeatedBatch(state.batches, state.batch, samples)
            raise CancelBatchException(f"out of memory; it runs again, {size} examples at a time")

        return attempt

    def _halve(self, state: TrainState, error: RuntimeError) -> None:
        size = self._size(state)
        if size < 2 or not is_splittable(state.xb, state.batch_size):
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


class _RepeatedBatch:
    """A batch to run again; the counters are corrected when it is fetched again."""

    def __init__(self, batches: Iterator[Any], batch: Any, samples: int) -> None:
        self.batches = batches
        self.batch = batch
        self.samples = samples

    def undo_fetch(self, state: TrainState) -> None:
        state.batches = chain([self.batch], self.batches)
        state.batch_index -= 1
        state.samples -= self.samples


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device or the CPU allocator reports that it is out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        text in str(error) for text in _OUT_OF_MEMORY
    )


def _shapes(xb: Any) -> str:
    return " ".join(str(tuple(t.shape)) for t in leaves(xb, torch.Tensor)) or type(xb).__name__


def _forward_in_parts(forward: Activity, state: TrainState, size: int) -> str:
    """Compute `pred` of the whole batch, in parts of `size` examples; backward recomputes them."""
    model, trigger = state.model, ""

    def run(xb: Any) -> Any:
        nonlocal trigger
        before = state.model, state.xb, state.pred
        state.model, state.xb = model, xb
        try:
            trigger = forward(state)
            return state.pred
        finally:
            state.model, state.xb, state.pred = before

    run_part = recompute_in_backward(run, model)
    count = state.batch_size
    sizes = [min(size, count - start) for start in range(0, count, size)]
    parts = [run_part(part) for part in split_batch(state.xb, count, size)]
    state.pred = join_parts(parts, sizes)
    return trigger


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
