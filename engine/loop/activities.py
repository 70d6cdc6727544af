"""The activities of a fit: each does the work of one phase and returns the next trigger.

Together they are the training loop:

    for epoch in range(n_epochs):           # next_epoch
        for batch in train_loader:          # fetch_training
            pred = model(xb)                # forward
            loss = loss_fn(pred, yb)        # loss
            loss.backward()                 # backward
            optimizer.step()                # step
            optimizer.zero_grad()           # zero_grad
        for batch in valid_loader: …        # the same without the last three and without gradients
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FunctionType, MappingProxyType
from typing import Any

from torch import Tensor

from ...events import RecoveryError, TrainState
from ..batches.batch import clear_batch, open_pass, set_batch, warn_if_empty
from ..batches.batch_hint import explain_batch
from ..batches.unlabelled_batch import keep_every_input
from ..batches.weighted_loss import weighted_loss
from ..data.validation_loaders import ONLY, by_name, current_loader, described, next_name
from ..statechart.compiled_table import Activity, Always
from ..torch_internals import AROUND_STEP, STEP_HOOKS_OF_ALL, ZERO_GRAD, is_profiling, step_hooks
from .activity_registry import Wrapper
from .counted_pass import open_training_pass, record_length
from .diagnostics import explain_backward, missing_loss, missing_optimizer, missing_output
from .module_modes import set_modes
from .retried_batch import retry_with
from .without_gradients import WithoutGradients

_EXHAUSTED = object()


def next_epoch(state: TrainState) -> str:
    """Begin another epoch, or end the fit."""
    state.batches = state.paused = None
    state.validation_due, state.validate_next = True, False
    if state.epoch + 1 >= state.n_epochs:
        return "after_fit"
    state.epoch += 1
    state.clear_metrics()
    return "begin_epoch"


def begin_training(state: TrainState) -> str:
    """Switch to train mode, and reset the counters of the pass."""
    begin_pass(state, training=True)
    return "begin_train"


def fetch_training(state: TrainState) -> str:
    """Fetch the next training batch, or end the training."""
    batches = state.batches
    if batches is None:
        batches = open_training_pass(state, _required(state.train_loader))
    if state.validate_next and state.valid_loader is not None:
        return _pause_training(state, batches)
    batch = next(batches, _EXHAUSTED)
    if batch is _EXHAUSTED:
        warn_if_empty(state, "train_loader", state.train_loader)
        record_length(state)
        return "after_train"
    state.batch_index += 1
    state.samples += set_batch(state, batch)
    return "begin_batch"


def forward(state: TrainState) -> str:
    """Compute `pred` from `xb`."""
    xb = state.xb
    try:
        if isinstance(xb, Tensor):
            pred = state.model(xb)
        elif type(xb) is tuple:
            pred = state.model(*xb)
        elif isinstance(xb, Mapping):
            pred = state.model(**xb)
        else:
            pred = state.model(xb)
    except (TypeError, AttributeError) as error:
        explain_batch(state, error)
        raise
    if pred is None:
        raise missing_output(state)
    state.pred = pred
    return "after_pred"


def loss(state: TrainState) -> str:
    """Compute `loss` from `pred` and `yb`; without a `loss_fn` it is the model's own."""
    loss_fn = state.loss_fn
    yb = state.yb
    try:
        if state.weight is not None:
            value = weighted_loss(state)
        elif loss_fn is None:
            value = _models_loss(state.pred)
        elif yb is None:
            value = loss_fn(state.pred)
        else:
            value = loss_fn(state.pred, yb)
    except (TypeError, AttributeError) as error:
        explain_batch(state, error)
        raise
    if value is None:
        raise missing_loss(state)
    state.loss = value
    state.previous_loss = None  # its graph has given its accumulation nodes to the new one
    return "after_loss"


def unless_predicting(activity: Activity) -> Activity:
    """Skip `activity` in a prediction, which has no targets."""
    return lambda state: "after_batch" if state.job == "predict" else activity(state)


def backward(state: TrainState) -> str:
    """Compute the gradients of `loss`, and add them to the present ones."""
    try:
        state.loss.backward()
    except (RuntimeError, AttributeError, TypeError) as error:
        explain_backward(state, error)
        raise
    return "after_backward"


def step(state: TrainState) -> str:
    """Make one optimizer update, as `optimizer.step()` does.

    Around the work of each step torch has a function that announces it to a profiler, 20 µs, and
    calls hooks: where none records and there are no hooks, the work is done without it.
    """
    optimizer = state.optimizer
    if optimizer is None:
        raise missing_optimizer(state)
    announced: Any = getattr(type(optimizer), "step", None)
    if (
        type(announced) is not FunctionType  # what stands for a function, and has its code, too
        or announced.__code__ is not AROUND_STEP
        or "step" in vars(optimizer)
        or any(step_hooks(optimizer))
        or any(STEP_HOOKS_OF_ALL)
        or is_profiling()
    ):
        optimizer.step()
    else:
        announced.__wrapped__(optimizer)  # type: ignore[attr-defined]
    state.step += 1
    return "after_step"


def zero_grad(state: TrainState) -> str:
    """Clear the gradients that the step has used, as `optimizer.zero_grad()` does.

    Nearly all of that call, 20 µs, announces it to a profiler: it is made where one records, and
    for an optimizer with a `zero_grad` of its own.
    """
    optimizer = state.optimizer
    if optimizer is None:
        return "after_batch"
    if (
        getattr(type(optimizer), "zero_grad", None) is not ZERO_GRAD
        or "zero_grad" in vars(optimizer)
        or is_profiling()
    ):
        optimizer.zero_grad()
        return "after_batch"
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None
    return "after_batch"


def validate_if_due(state: TrainState) -> str:
    """Begin the validation, or end the epoch."""
    state.batches = None
    if state.valid_loader is None or not (state.validation_due or state.paused):
        return "after_epoch"
    state.evaluation = next(iter(by_name(state.valid_loader)), ONLY)
    begin_pass(state, training=False)
    return "begin_validate"


def fetch_validation(state: TrainState) -> str:
    """Fetch the next validation batch, or end the validation."""
    batches = state.batches
    if batches is None:
        limit = state.batches_per_validation if state.job == "fit" else None
        batches = open_pass(state, _required(current_loader(state)), limit)
    batch = next(batches, _EXHAUSTED)
    if batch is _EXHAUSTED:
        warn_if_empty(state, described(state), current_loader(state))
        return "after_validate"
    state.batch_index += 1
    set_batch(state, batch)
    if state.job == "predict":
        keep_every_input(state)
    return "begin_batch"


def resume_paused_training(state: TrainState) -> str:
    """Begin the next validation, resume the training that paused for them, or end the epoch."""
    if following := next_name(state):
        state.evaluation = following
        begin_pass(state, training=False)
        return "begin_validate"
    if state.paused is None:
        return "after_epoch"
    begin_pass(state, training=True)
    state.batches, state.batch_index, state.n_batches, state.pass_begun = state.paused
    state.paused = None
    return "begin_train"


def refuse_rollback(state: TrainState) -> str:
    """Stand where a trainer restores a snapshot.

    Raises:
        RecoveryError: always.
    """
    raise RecoveryError("only a Trainer can be rolled back: another engine saves no state")


def begin_evaluation(state: TrainState) -> None:
    """Switch to eval mode, and reset the counters of the pass."""
    begin_pass(state, training=False)


def _pause_training(state: TrainState, batches: Iterator[Any]) -> str:
    state.validate_next = False
    state.paused = batches, state.batch_index, state.n_batches, state.pass_begun
    return "after_train"


def begin_pass(state: TrainState, training: bool) -> None:
    """Begin a pass over a loader: switch the modes of the modules, and reset the counters."""
    state.batches = state.pass_begun = None
    state.batch_index = -1
    state.n_batches = None
    state.training = training
    set_modes(state, training)
    clear_batch(state)


def _required(loader: Any) -> Any:
    if loader is None:
        raise TypeError("cannot read the loader of this pass: a handler has taken it away")
    return loader


def _models_loss(pred: Any) -> Any:
    return pred.get("loss") if isinstance(pred, Mapping) else getattr(pred, "loss", None)


ACTIVITIES: Mapping[str, Activity] = MappingProxyType(
    {
        "fit.ready": next_epoch,
        "epoch.ready": begin_training,
        "train.fetch": fetch_training,
        "forward": forward,
        "retry": retry_with(lambda _: forward),
        "loss": loss,
        "train.batch.scored": Always("begin_backward"),
        "backward": backward,
        "differentiated": Always("begin_step"),
        "step": step,
        "zero_grad": zero_grad,
        "accumulated": Always("after_batch"),
        "restore": refuse_rollback,
        "trained": validate_if_due,
        "validate.fetch": fetch_validation,
        "validate.batch.scored": Always("after_batch"),
        "validated": resume_paused_training,
    }
)
"""The activities of the supervised chart and of the evaluation chart.

A trainer has others for `retry`, which runs `forward` in its wraps, and for `restore`.
"""

OUTERMOST_WRAPS: tuple[tuple[str, Wrapper], ...] = (
    ("validate.batch.forward", WithoutGradients()),
    ("validate.batch.loss", WithoutGradients()),
    ("validate.batch.retry", WithoutGradients()),
    ("validate.batch.loss", unless_predicting),
)
"""Wraps of the trainer's own activities, outside every other wrap or replacement."""
