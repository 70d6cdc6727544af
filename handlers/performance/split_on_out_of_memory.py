"""Going on when a batch does not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch

from ...events import CancelBatchException, TrainerProtocol, TrainState
from ...events.nested import leaves
from ..optimization._optimizer_parameters import parameters
from ._batch_parts import has_examples, joined, split
from ._recompute import recomputed

Activity = Callable[[TrainState], str]

_SAID = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


class SplitOnOutOfMemory:
    """Runs a batch that does not fit into memory again, in halves, and if need be in smaller parts.

    The batch is cancelled, and comes again with the same index. The model then gets it in parts;
    prediction and loss are those of the whole batch, so any loss will do, and the gradient is the
    same but for rounding. The size that fitted is remembered, one for training and one for
    validation and prediction. Layers that look at a whole batch, such as batch norm, see the parts;
    scalars in the model's output, such as a loss of its own, are averaged over the examples.

    Signals: nothing; wraps fetch, forward, loss and backward
    Reads: batch, batch_size, xb, model, training
    Writes: batches, batch_index and samples, to run the batch again; pred; the gradients
    Raises: CancelBatchException; the error itself, when a single example does not fit
    Cost: no sync; a training batch in parts is computed forward twice, since only one part at a
        time keeps its activations: where most are, smaller batches and GradientAccumulation are
        faster. While gradients accumulate, the memory for them twice
    Source: Luyu Gao and others, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
        Setup", 2021, for a loss over parts

    Attributes:
        train_size: examples that the model gets at a time in training; None: whole batches.
        valid_size: the same for validation and prediction.
    """

    def __init__(self) -> None:
        self.train_size: int | None = None
        self.valid_size: int | None = None
        self._put_back: _PutBack | None = None
        self._state: TrainState | None = None

    def attached(self, trainer: TrainerProtocol) -> None:
        self._state = trainer.state

    def detached(self, trainer: TrainerProtocol) -> None:
        self._put_back = None

    def state_dict(self) -> dict[str, Any]:
        put_back = self._put_back
        return {
            "train_size": self.train_size,
            "valid_size": self.valid_size,
            "put_back": put_back and {"batch": put_back.batch, "samples": put_back.samples},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.train_size, self.valid_size = state["train_size"], state["valid_size"]
        again, live = state["put_back"], self._state
        if again is not None and live is not None and live.batches is not None:
            self._put_back = _PutBack(live.batches, again["batch"], again["samples"])

    def wrap_fetch(self, fetch: Activity) -> Activity:
        def fetch_again(state: TrainState) -> str:
            put_back, self._put_back = self._put_back, None
            if put_back is not None and put_back.batches is state.batches:  # the same pass, still
                put_back.undo_fetch(state)
            return fetch(state)

        return fetch_again

    def wrap_forward(self, forward: Activity) -> Activity:
        def in_parts(state: TrainState) -> str:
            size = self._size(state)
            return _in_parts(forward, state, size) if size < state.batch_size else forward(state)

        return self._again(in_parts)

    def wrap_loss(self, loss: Activity) -> Activity:
        return self._again(loss)

    def wrap_backward(self, backward: Activity) -> Activity:
        def undone(state: TrainState) -> str:
            with _all_or_nothing(state):
                return backward(state)

        return self._again(undone)

    def _size(self, state: TrainState) -> int:
        known = self.train_size if state.training else self.valid_size
        return min(known or state.batch_size, state.batch_size)

    def _again(self, activity: Activity) -> Activity:
        def attempt(state: TrainState) -> str:
            try:
                return activity(state)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(state, error)
            # only out here are the frames of the attempt gone, with all that they held
            state.pred = state.loss = None
            samples = state.batch_size if state.training else 0
            self._put_back = _PutBack(state.batches, state.batch, samples)
            size = self._size(state)
            raise CancelBatchException(f"out of memory; it runs again, {size} examples at a time")

        return attempt

    def _halve(self, state: TrainState, error: RuntimeError) -> None:
        size = self._size(state)
        if size < 2 or not _can_be_split(state):
            error.add_note(
                f"SplitOnOutOfMemory: {state.batch_size} examples ({_kind(state.xb)}) were run "
                f"{size} at a time, and cannot be split further"
            )
            raise error
        if state.training:
            self.train_size = (size + 1) // 2
        else:
            self.valid_size = (size + 1) // 2


class _PutBack:
    """A batch that will come again; until it does, the counters name it as they should."""

    def __init__(self, batches: Iterator[Any] | None, batch: Any, samples: int) -> None:
        assert batches is not None
        self.batches = batches
        self.batch = batch
        self.samples = samples

    def undo_fetch(self, state: TrainState) -> None:
        state.batches = chain([self.batch], self.batches)
        state.batch_index -= 1
        state.samples -= self.samples


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device, or the CPU's allocator, says that it has no more memory."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in _SAID)


def _can_be_split(state: TrainState) -> bool:
    return any(has_examples(tensor, state.batch_size) for tensor in leaves(state.xb, torch.Tensor))


def _kind(xb: Any) -> str:
    return " ".join(str(tuple(t.shape)) for t in leaves(xb, torch.Tensor)) or type(xb).__name__


def _in_parts(forward: Activity, state: TrainState, size: int) -> str:
    """`pred` of the whole batch, from parts of `size` examples that are computed again later."""
    model, trigger = state.model, ""

    def run(xb: Any) -> Any:
        nonlocal trigger
        live = state.model, state.xb, state.pred
        state.model, state.xb = model, xb
        try:
            trigger = forward(state)
            return state.pred
        finally:
            state.model, state.xb, state.pred = live

    run_twice = recomputed(run, model)
    count = state.batch_size
    sizes = [min(size, count - start) for start in range(0, count, size)]
    state.pred = joined([run_twice(part) for part in split(state.xb, count, size)], sizes)
    return trigger


@contextmanager
def _all_or_nothing(state: TrainState) -> Iterator[None]:
    """Of a backward pass that runs out of memory no gradient stays; those before it do."""
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
