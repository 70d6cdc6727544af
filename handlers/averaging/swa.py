"""Stochastic weight averaging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import nn
from torch.optim.swa_utils import AveragedModel

from ...events import TrainerProtocol, TrainState
from .._copying import Copyable, LeftOut, nothing
from .._model_copy import has_lazy_parts
from .._named_target import check_model_target, checked_name, is_own_update, model_of
from .._writes import Writes
from ._averaged_model import (
    FinalWeights,
    check_final_weights,
    copy_into,
    copy_tensors,
    follow_sharding,
    load_values,
    make_averaged_model,
    tensors,
    values,
)
from ._batch_adapters import BatchAdapters
from ._batch_norm import trained_norms, update_batch_norm


class SWA(Copyable):
    """Averages the weights of the last epochs of a fit equally, and keeps the mean after the fit.

    An epoch is averaged if it made a step and did not fail. At the end of the fit the statistics of
    batch-norm layers, if any, are computed in one more pass over the training data: batches and the
    forward pass go through the handlers that change the inputs at `begin_batch`, and through the
    wraps of `forward`, as in training; no signal is sent. The learning rate is not changed; use a
    schedule, such as torch's SWALR in LRSchedule.

    Signals: begin_fit, after_step, after_epoch, after_fit
    Reads: model, epoch, n_epochs, outcome, train_loader, batches_per_epoch
    Writes: the model's weights at after_fit, unless the fit failed
    Raises: ValueError at begin_fit: the fit ends before `start`
    Cost: no sync a batch; a few for each averaged epoch; memory of one more model; with batch-norm
        layers a forward pass over the training data at the end, one sync for each layer and batch
    Does not: change the learning rate, or validate with the average
    Source: Pavel Izmailov, Dmitrii Podoprikhin, Timur Garipov, Dmitry Vetrov, Andrew Gordon
        Wilson, "Averaging Weights Leads to Wider Optima and Better Generalization", 2018;
        `torch.optim.swa_utils`

    Args:
        start: the first epoch averaged: an int is its 0-based index, a float below 1 a fraction of
            the fit's epochs.
        final: whether the model has the "averaged" or the "trained" weights after the fit.
        of: name of the model, of a trainer with several; None: the only one.

    Attributes:
        averaged: the averaged model of the last fit, in eval mode; None before the first. It
            averages `averaged.n_averaged` epochs.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    never_cancels = True
    reads = ("model", "epoch", "n_epochs", "outcome", "train_loader", "batches_per_epoch")

    left_out: ClassVar[LeftOut] = {"_state": nothing, "_observing": dict}

    def __init__(
        self, start: float = 0.75, final: FinalWeights = "averaged", *, of: str | None = None
    ) -> None:
        if isinstance(start, bool) or start < 0 or (isinstance(start, float) and not start < 1):
            raise ValueError(
                f"SWA(start={start!r}): allowed: an int from 0, the index of an epoch, or a float "
                "from 0 and below 1, a fraction of the epochs"
            )
        check_final_weights("SWA", final)
        self.start = start
        self.final = final
        self.of = checked_name("SWA", of)
        self.averaged: AveragedModel | None = None
        self._stepped = False
        self._updated = False
        self._state: TrainState | None = None
        self._adapters = BatchAdapters()
        self._observing: dict[TrainerProtocol, Callable[[], None]] = {}

    @property
    def writes(self) -> Writes:
        """The weights, at the end."""
        return {"after_fit": ("model.weights",)} if self.final == "averaged" else {}

    def attached(self, trainer: TrainerProtocol) -> None:
        self._state = trainer.state
        check_model_target(self, trainer)
        self._observing[trainer] = self._adapters.observe(trainer, self._has_norms)

    def detached(self, trainer: TrainerProtocol) -> None:
        self._observing.pop(trainer)()

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if 0 < state.n_epochs <= self._first_epoch(state):
            raise ValueError(
                f"SWA(start={self.start}) averages no epoch of a fit of {state.n_epochs}; "
                "epochs count from 0"
            )
        self._state, model = state, model_of(state, self.of)
        self.averaged = None if has_lazy_parts(model) else make_averaged_model("SWA", model)
        self._stepped = self._updated = False
        self._adapters.names.clear()

    def state_dict(self) -> dict[str, Any]:
        averaged = self.averaged
        return {
            "averaged": averaged and values(averaged.module),
            "epochs": averaged and averaged.n_averaged,
            "stepped": self._stepped,
            "updated": self._updated,
            "adapters": sorted(self._adapters.names),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._stepped, self._updated = state["stepped"], state["updated"]
        self._adapters.names.update(state["adapters"])
        if state["averaged"] is not None and self._state is not None:
            model = model_of(self._state, self.of)
            self.averaged = self.averaged or make_averaged_model("SWA", model)
            follow_sharding(self.averaged, model)
            load_values(self.averaged.module, state["averaged"])
            self.averaged.n_averaged.copy_(state["epochs"])

    def after_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        made = state.outcome == "completed" and is_own_update(state, self.of)
        self._stepped = self._stepped or made

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        stepped, self._stepped = self._stepped, False
        if stepped and state.epoch >= self._first_epoch(state) and state.outcome != "failed":
            model = model_of(state, self.of)
            self.averaged = self.averaged or make_averaged_model("SWA", model)
            self.averaged.update_parameters(model)
            self._updated = True

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        updated, self._updated = self._updated, False
        if not updated or self.averaged is None or state.outcome == "failed":
            return
        model = model_of(state, self.of)
        if self._has_norms(state):
            self._update_norms(trainer, model, self.averaged)
        if self.final == "averaged":
            copy_into(model, self.averaged, buffers=True)

    def _has_norms(self, state: TrainState) -> bool:
        return bool(trained_norms(state, model_of(state, self.of)))

    def _update_norms(
        self, trainer: TrainerProtocol, model: nn.Module, averaged: AveragedModel
    ) -> None:
        """Compute the statistics in the model itself, with everything that surrounds it."""
        live = tensors(model, buffers=True)
        trained = [tensor.clone() for tensor in live]
        try:
            copy_into(model, averaged, buffers=True)
            update_batch_norm(trainer, model, self._adapters, self.of)
            copy_tensors(tensors(averaged.module, buffers=True), live)
        except Exception as error:
            error.add_note(
                "SWA: raised while it computed the batch-norm statistics of the averaged weights; "
                "the model has its trained weights, SWA.averaged the averaged ones, with the "
                "statistics of the trained"
            )
            raise
        finally:
            copy_tensors(live, trained)

    def _first_epoch(self, state: TrainState) -> int:
        """0-based index of the first averaged epoch."""
        return int(self.start * state.n_epochs) if isinstance(self.start, float) else self.start
