"""Fused rows: forward pass, loss and gradients in one compiled call, where nobody listens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...events import TrainerProtocol, TrainState
from ...events.trainer_protocol import Stretch
from ...events.utils.argument_checks import check_whole_number
from ...events.utils.closure_check import needs_closure
from ...events.utils.nested import leaves
from .._copying import LeftOut, nothing
from .._stateful import Stateful
from ._fused_call import Computed, FusedCall, ShapeKey, describe_key, key_of
from ._fusing_pauses import FusingPauses
from ._fusing_trial import FusingTrial

Activity = Callable[[TrainState], str]

_UNFIT = "some batches have weights, or parts that are no tensors: not fused"
_TOO_MANY = "batches of other shapes: not fused, {} shapes are tried"
_TOO_LONG = "batches of other shapes: not fused, compiling has taken {:.0f} s"

_MOST_SECONDS = 60
"""When compiling has taken as long as this in all, no other shape is tried."""


class Fuse(Stateful):
    """Computes forward pass, loss and gradients in one compiled call, where that is faster.

    The call is made in `forward`, if nobody listens up to `backward`: no receiver of `after_pred`,
    `after_loss`, `begin_backward` or any_transition, no wrap of the three activities, no hook of a
    module or parameter. The rows are still passed, and the fields written, at their places. A
    receiver, wrap or hook that is added ends it with the next batch; when it is gone, fusing goes
    on. One that another thread adds while a fused call runs is called in that batch, but what it
    changes is not used. `trainer.explain("fused")` says what is fused, and why not.

    Each shape of a batch has a trial: `trial` batches by the rows, then fused ones and others in
    turns. The call is kept if its median takes less than 97 % of the time of the rows. `pred` and
    `loss` of a fused batch have no `grad_fn`.

    After as many batches in a row for which it does not pay, it takes its wraps off: batches then
    cost nothing. It looks again at the begin of a later pass, after 1, 2, 4, 8, … of them.

    Weights differ from those without it by rounding, 1e-5 after tens of steps; with a backend that
    keeps the operations, "aot_eager", by nothing. Inductor draws other random numbers for dropout.
    The trial measures time, so two runs may decide differently; a resumed fit keeps the decisions.
    If the call raises an error, the batch is computed by the rows, which raise it in its own phase
    if it is an error of the model; otherwise this shape is not fused any more.

    Attached to several trainers, it fuses for the last of them.

    With `graph` the call is captured as a CUDA graph for each shape; the trial then compares that.
    What Python does in the model, such as to count calls, is then not done again, and the values
    that it reads are those of the capture. On another device, or where a capture fails, the rows
    compute. Nothing of this handler was run on a GPU.

    Signals: begin_train; wraps forward, loss and backward
    Reads: model, loss_fn, optimizer, xb, yb, weight
    Writes: pred, loss, the gradients
    Raises: ValueError, TypeError for wrong arguments
    Cost: compiling, seconds to minutes for each shape, no other one after a minute in all; a sync
        a batch on CUDA during a trial
    Does not: fuse steps, zero_grad and validation; fits with several optimizers, with an optimizer
        that needs a closure, with several processes, driven by `steps`; batches with weights or
        parts that are no tensors; models that `torch.compile` cannot turn into one graph

    Args:
        backend: see `torch.compile`.
        trial: the number of batches that each side of a trial measures, from 1.
        shapes: how many shapes are tried; batches of others are never fused.
        graph: whether to capture the call as a CUDA graph.
    """

    saved: ClassVar[tuple[str, ...]] = ()
    left_out: ClassVar[LeftOut] = {
        "_trainer": nothing, "_stretch": nothing, "_call": nothing, "_ahead": nothing,
        "_timed": nothing, "_trials": dict, "_untried": dict,
    }  # fmt: skip

    def __init__(
        self, backend: Any = "inductor", *, trial: int = 10, shapes: int = 4, graph: bool = False
    ) -> None:
        check_whole_number(f"Fuse(trial={trial!r})", trial, 1)
        check_whole_number(f"Fuse(shapes={shapes!r})", shapes, 1)
        try:
            torch.compile(torch.nn.Identity(), backend=backend)
        except Exception as error:
            raise ValueError(f"Fuse({backend!r}): refused by torch.compile: {error}") from error
        self.backend, self.graph = backend, graph
        self.trial = trial
        self.shapes = shapes
        self._trainer: TrainerProtocol | None = None
        self._stretch: Stretch | None = None
        self._call: FusedCall | None = None
        self._trials: dict[ShapeKey, FusingTrial] = {}
        self._loaded: dict[str, Any] = {}
        self._ahead: Computed | None = None
        self._untried: dict[str, None] = {}  # an ordered set
        self._timed: tuple[FusingTrial, float | None] | None = None
        self._compiling = 0.0  # seconds
        self._pauses = FusingPauses(3 * trial)
        self._is_leaving = False

    def attached(self, trainer: TrainerProtocol) -> None:
        self._forget()
        self._trainer = trainer

    def detached(self, trainer: TrainerProtocol) -> None:
        if trainer is self._trainer:
            self._forget()

    def _forget(self) -> None:
        self._trainer = self._stretch = self._call = self._ahead = self._timed = None
        self._trials, self._loaded, self._untried = {}, {}, {}
        self._compiling, self._pauses = 0.0, FusingPauses(3 * self.trial)

    def state_dict(self) -> dict[str, Any]:
        trials = {describe_key(key): trial.state_dict() for key, trial in self._trials.items()}
        return {"trials": {**self._loaded, **trials}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trials, self._loaded = {}, dict(state["trials"])

    def explain_fused(self) -> str:
        """What is fused, and why not; for `trainer.explain("fused")`."""
        if self._stretch is None:
            return "fused: nothing yet, no training batch has run"
        obstacles = self._stretch.obstacles() or self._own_obstacles()
        fused = not obstacles and any(trial.pays for trial in self._trials.values())
        head = "fused: forward, loss and backward" if fused else "fused: nothing"
        shapes = [f"{describe_key(key)}: {trial}" for key, trial in self._trials.items()]
        if self._compiling:
            shapes.append(f"compiling has taken {self._compiling:.1f} s")
        return "\n".join([head, *(f"  {line}" for line in (*obstacles, *shapes, *self._untried))])

    def wrap_forward(self, forward: Activity) -> Activity:
        if self._is_leaving:
            return forward
        self._stretch = None  # a wrap has changed, or a run begins
        self._pauses.end()

        def forward_or_all(state: TrainState) -> str:
            if not self._is_own(state):
                return forward(state)
            self._ahead = self._timed = None
            if self._is_training_pass(state) and self._is_quiet():
                key = key_of(state)
                if self._is_left_to_rows(state, key):
                    self._count_left()
                elif self._can_call(state):
                    self._begin(state, key)
            if self._ahead is None or self._trainer is None:  # None: it was detached meanwhile
                return forward(state)
            state.pred = self._ahead.pred
            return "after_pred"

        return forward_or_all

    def wrap_loss(self, loss: Activity) -> Activity:
        if self._is_leaving:
            return loss

        def loss_or_known(state: TrainState) -> str:
            if self._ahead is None or not (state.training and self._is_own(state)):
                return loss(state)
            state.loss = self._ahead.loss
            return "after_loss"

        return loss_or_known

    def wrap_backward(self, backward: Activity) -> Activity:
        if self._is_leaving:
            return backward

        def backward_or_known(state: TrainState) -> str:
            if not self._is_own(state):
                return backward(state)
            ahead, self._ahead = self._ahead, None
            if ahead is None or self._call is None:
                trigger = backward(state)
            else:
                self._call.add_gradients(ahead.gradients)
                trigger = "after_backward"
            if self._timed is not None:
                trial, began = self._timed
                trial.add(None if began is None else _now(state) - began)
            return trigger

        return backward_or_known

    def _is_own(self, state: TrainState) -> bool:
        """Whether it is the state of the trainer to which this was attached last."""
        return self._trainer is not None and self._trainer.state is state

    def _is_training_pass(self, state: TrainState) -> bool:
        """Whether the live forward pass is that of a training batch."""
        return state.training and torch.is_grad_enabled() and state.phase.endswith(".forward")

    def _is_left_to_rows(self, state: TrainState, key: ShapeKey | None) -> bool:
        """Whether the trial of this shape has decided against the call."""
        if self._call is None or key is None:
            return False
        trial = self._trials.get(key)
        return trial is not None and trial.pays is False and self._call.has_parts(state)

    def _count_left(self) -> None:
        """Take the wraps off after as many batches in a row as a trial has."""
        if self._trainer is None or not self._pauses.count_left():
            return
        self._is_leaving = True
        try:
            self._trainer.rewrap()
        finally:
            self._is_leaving = False

    def begin_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self._is_own(state) and self._pauses.count_pass():
            trainer.rewrap()

    def _is_quiet(self) -> bool:
        """Whether nobody listens up to `backward`."""
        if self._stretch is None:
            assert self._trainer is not None
            self._stretch = self._trainer.stretch(self)
        return self._stretch.is_quiet

    def _can_call(self, state: TrainState) -> bool:
        """Whether one call may compute the live batch: there is no hook, and no closure."""
        if self._call is None or not self._call.is_for(state):
            kept = partial(self._trainer.rng_kept, None) if self.graph and self._trainer else None
            self._call, self._trials = FusedCall(state, self.backend, kept), {}
        return not (self._call.has_hooks() or needs_closure(state.optimizer))

    def _own_obstacles(self) -> list[str]:
        """What prevents fusing, and no other handler knows."""
        if self._call is not None and self._call.has_hooks():
            return ["a module or a parameter has a hook"]
        optimizer = self._trainer.state.optimizer if self._trainer is not None else None
        return ["the optimizer needs a closure"] if needs_closure(optimizer) else []

    def _begin(self, state: TrainState, key: ShapeKey | None) -> None:
        """Compute the live batch in one call, if that pays or has to be tried."""
        trial = self._trial_of(key)
        if key is None or trial is None:
            self._count_left()
            return
        self._pauses.end()
        began = _now(state) if trial.pays is None else None
        if trial.fuses_next and not self._compute(state, key, trial):
            began = None
        if trial.pays is None:
            self._timed = trial, began

    def _compute(self, state: TrainState, key: ShapeKey, trial: FusingTrial) -> bool:
        """Compute the live batch; returns whether the call was compiled before, so can be timed."""
        assert self._call is not None
        was_compiled = self._call.is_compiled(key)
        began = perf_counter()
        try:
            self._ahead = self._call.compute(state, key)
        except Exception as error:
            trial.give_up(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
        finally:
            self._compiling += 0.0 if was_compiled else perf_counter() - began
        return was_compiled

    def _trial_of(self, key: ShapeKey | None) -> FusingTrial | None:
        """The trial of a shape; None if it has none."""
        if key is None:
            self._untried[_UNFIT] = None
            return None
        return self._trials.get(key) or self._new_trial(key)

    def _new_trial(self, key: ShapeKey) -> FusingTrial | None:
        if len(self._trials) == self.shapes:
            self._untried[_TOO_MANY.format(self.shapes)] = None
            return None
        if self._compiling > _MOST_SECONDS:
            self._untried[_TOO_LONG.format(self._compiling)] = None
            return None
        trial = self._trials[key] = FusingTrial(self.trial)
        if (loaded := self._loaded.pop(describe_key(key), None)) is not None:
            trial.load_state_dict(loaded)
        return trial


def _now(state: TrainState) -> float:
    """The time in seconds, when the device of the live batch has done its work."""
    tensor = next(leaves(state.xb, only=Tensor), None)
    if tensor is not None and tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return perf_counter()
