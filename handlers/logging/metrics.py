"""Compute the loss and metrics of each pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar

import torch

from ...events import RehearsalPlan, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_no_class
from ...events.utils.exception_text import add_note
from ...events.utils.nested import leaves, map_nested
from ...events.utils.value_description import describe, describe_all
from .._copying import Copyable
from .._writes import Writes
from ._metric_state import to_host
from ._pass_totals import PassTotals
from ._unknown_metric import UnknownMetric

_METHODS = ("update", "compute", "reset")


class Metrics(Copyable):
    """Computes the mean loss, and any metrics, of every training and validation pass.

    Only completed batches count, and of those not an empty one; `predict()` does not. A pass that a
    cancel of train or validate ends early is computed from its completed batches; after a cancel of
    the epoch or fit, or an error, it is not computed. When training pauses for a validation, it is
    computed up to there, and continues as the same pass.

    With Distributed the loss and the metrics are those of the examples of all ranks: metrics of
    torchmetrics synchronise by themselves, those with `merge_state` are merged, the results of
    others are averaged, weighted by examples.

    Where the updates of a batch have names, each has a mean of its own in place of `train_loss`: of
    the losses that it has differentiated, in completed batches.

    Signals: begin_train, begin_validate, after_batch, after_train, after_validate; after_backward,
        if optimizers have names
    Reads: evaluation, loss, of, batch_size, pred, yb, outcome, cancel, training, job, paused,
        batch_index; what `take` reads
    Writes: metrics["train_loss"], ["valid_loss"]; by the name of the evaluation ["test_loss"]; of
        several updates ["train_<of>_loss"]; ["train_<name>"], ["valid_<name>"], for a collection of
        metrics ["train_<name>_<its name>"]: floats
    Cost: no sync a batch; one a pass for the loss, and what each metric's compute costs
    Does not: count cancelled batches, or compute anything in `predict()`

    Args:
        take: `take(state)` returns what `update` is called with, several arguments as a tuple:
            `take=lambda state: (state.pred["logits"], state.yb)`. None: `(pred, yb)`.
        metrics: by name, objects with `update(pred, yb)`, `compute()` and `reset()`, such as those
            of torchmetrics or torcheval; without targets `update(pred)` is called. A metric with
            `to(device)` is moved to the device of the predictions. A result that is not a scalar is
            moved to the CPU.

    Raises:
        TypeError: a metric lacks one of the three methods; `take` is not a function.
        Exception: raised by an `update` or `take`; a note says what it was given.
        ValueError: a metric is named `loss`.
    """

    never_cancels = True
    reads = (
        *("evaluation", "loss", "of", "batch_size", "pred", "yb", "outcome", "cancel"),
        *("training", "job", "paused", "batch_index"),
    )
    writes: ClassVar[Writes] = {
        "after_train": ("metrics.train_loss",),
        "after_validate": ("metrics.valid_loss",),
    }

    def __init__(self, *, take: Callable[[TrainState], Any] | None = None, **metrics: Any) -> None:
        _check_take(take)
        self.take = take
        for name, metric in metrics.items():
            _check(name, metric)
        self.metrics = metrics
        self._pass = PassTotals(metrics)
        self._paused: PassTotals | None = None
        self._differentiated: list[tuple[str, torch.Tensor]] = []
        self._has_warned = False

    def rehearse(self, plan: RehearsalPlan) -> Metrics:
        """Report the same names, as far as they are known, with values that mean nothing."""
        unknown: dict[str, Any] = {n: UnknownMetric(m) for n, m in self.metrics.items()}
        return Metrics(**unknown)

    def attached(self, trainer: TrainerProtocol) -> None:
        if trainer.state.optimizers and "after_backward" in trainer.signals:
            trainer.on("after_backward")(self._keep_loss)

    def detached(self, trainer: TrainerProtocol) -> None:
        if self._keep_loss in trainer.handlers:
            trainer.detach(self._keep_loss)

    def begin_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self._paused is not None and state.batch_index >= 0:
            self._pass, self._paused = self._paused, None
        else:
            self._begin(self.metrics)

    def begin_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.paused is None:
            self._begin(self.metrics)
        else:
            paused = self._paused or self._pass
            self._begin(deepcopy(self.metrics))
            self._paused = paused

    def after_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        differentiated, self._differentiated = self._differentiated, []
        if state.outcome != "completed" or state.job == "predict":
            return
        if not state.batch_size:
            if not state.global_batch_size:  # else the examples of this batch are on other ranks
                self._warn_once(state)
            return
        for name, loss in differentiated:
            self._pass.of(name).add(loss, state.batch_size)
        loss = torch.as_tensor(state.loss).detach()
        self._pass.add(loss, state.batch_size)
        if self._pass.metrics:
            self._update(self._arguments(state), loss.device)

    def _warn_once(self, state: TrainState) -> None:
        if not self._has_warned:
            self._has_warned = True
            passed = "training" if state.training else f"evaluation {state.evaluation!r}"
            warnings.warn(
                f"Metrics: batch {state.batch_index + 1} of the {passed} has no examples: "
                f"{describe(state.batch)}; such batches are left out of all means. An activity "
                "that makes its own data sets state.batch_size",
                stacklevel=2,
            )

    def _arguments(self, state: TrainState) -> tuple[Any, ...]:
        """What the metrics are updated with."""
        if self.take is None:
            return (state.pred,) if state.yb is None else (state.pred, state.yb)
        try:
            taken = self.take(state)
        except Exception as error:
            found = f"state.pred is {describe(state.pred)}, state.yb is {describe(state.yb)}"
            add_note(error, f"trackside: raised by Metrics(take=…); {found}")
            raise
        return taken if type(taken) is tuple else (taken,)

    def _update(self, arguments: tuple[Any, ...], device: torch.device) -> None:
        """Update each metric on the device of the first tensor that it is given."""
        arguments = map_nested(torch.Tensor.detach, arguments, only=torch.Tensor)
        first = next(leaves(arguments, torch.Tensor), None)
        self._pass.move_to(device if first is None else first.device)
        for name, metric in self._pass.metrics.items():
            try:
                metric.update(*arguments)
            except Exception as error:
                given = f"trackside: Metrics({name}=…) called update({describe_all(arguments)})"
                add_note(error, f"{given}; choose what it gets with Metrics(…, take=function)")
                raise

    def _keep_loss(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.of and state.outcome == "completed":
            self._differentiated.append((state.of, torch.as_tensor(state.loss).detach()))

    def after_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._report(state, "train")
        if state.paused is None:
            self._pass = PassTotals(self.metrics)

    def after_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._report(state, state.evaluation)
        self._pass = PassTotals(self.metrics)

    def state_dict(self) -> dict[str, Any]:
        return {"pass": self._pass.state(), "paused": self._paused and self._paused.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._pass, self._paused = PassTotals(self.metrics), None
        if state["paused"] is not None:
            self._pass.load(state["paused"])
            self._paused, self._pass = self._pass, PassTotals(deepcopy(self.metrics))
        self._pass.load(state["pass"])

    def _begin(self, metrics: dict[str, Any]) -> None:
        self._pass, self._paused = PassTotals(metrics), None
        for metric in metrics.values():
            metric.reset()

    def _report(self, state: TrainState, prefix: str) -> None:
        cancel, still_open = state.cancel, state.phase.split(".")
        if state.outcome == "completed" or (cancel and cancel.scope not in still_open):
            computed = self._compute(state).items()
            values = {f"{prefix}_{name}": value for name, value in computed if not _is_meta(value)}
            state.report(**{name: to_host(value) for name, value in values.items()})

    def _compute(self, state: TrainState) -> dict[str, Any]:
        if state.world_size == 1:
            return self._pass.compute()
        return self._pass.compute_over_ranks(state.device)


def _check_take(take: Any) -> None:
    check_no_class("Metrics(take=…)", take)
    if take is None or (callable(take) and not hasattr(take, "compute")):
        return
    raise TypeError(
        f"Metrics(take={take!r}): expected a function of the state that returns what the metrics "
        "are updated with; give a metric another name"
    )


def _check(name: str, metric: Any) -> None:
    if name == "loss":
        raise ValueError("Metrics computes the loss itself; give your metric another name")
    check_no_class(f"Metrics({name}=…)", metric)
    missing = [method for method in _METHODS if not callable(getattr(metric, method, None))]
    if missing:
        raise TypeError(
            f"Metrics({name}={metric!r}): expected an object with {', '.join(_METHODS)}; "
            f"it has no {', '.join(missing)}"
        )


def _is_meta(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_meta
