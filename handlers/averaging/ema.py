"""The exponential moving average of the weights."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...events import TrainerProtocol, TrainState
from ...events.utils.tensor_copy import copy_values
from .._copying import Copyable, LeftOut, nothing
from .._model_copy import has_lazy_parts
from .._named_target import check_model_target, checked_name, is_own_update, model_of
from .._shards import rows_here, sharded_as
from .._torch_internals import COMPILED_PREFIX, uncompiled
from .._writes import Writes
from ._averaged_model import (
    FinalWeights,
    can_be_averaged,
    check_final_weights,
    copy_into,
    copy_tensors,
    follow_sharding,
    load_values,
    make_averaged_model,
    tensors,
    values,
)


class EMA(Copyable):
    """Averages the weights exponentially, validates with the average, and keeps it after the fit.

    The average is updated after each optimizer step. It continues in the next fit, like the
    momenta of the optimizer; for weights loaded from elsewhere attach a new EMA. Integer buffers
    are copied.

    Signals: begin_fit, after_step, begin_validate, after_validate, after_fit
    Reads: model, outcome, job
    Writes: the model's weights: during a fit's validation, and at after_fit unless the fit failed
    Cost: no sync; memory of two more models, the second during validation only
    Does not: let the averages act on the training, or average integer buffers
    Source: Boris Polyak, Anatoli Juditsky, "Acceleration of stochastic approximation by
        averaging", 1992; `torch.optim.swa_utils`

    Args:
        decay: share of the old average in the new one, at least 0, below 1.
        use_buffers: also average floating-point buffers, such as BatchNorm's statistics; else they
            are copied from the trained model, as sparse ones are.
        validate: use the averaged weights in the validation of a fit, until after_validate.
        final: whether the model has the "averaged" or the "trained" weights after the fit.
        of: name of the model, of a trainer with several, averaged after the steps of the optimizer
            of this name; if there is none, after every step. None: the only model.

    Attributes:
        averaged: the averaged model, in eval mode; None before the first fit.
        updates: number of updates of the average.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    never_cancels = True
    reads = ("model", "outcome", "job")

    left_out: ClassVar[LeftOut] = {
        "_state": nothing,
        "_model": nothing,
        "_trained": nothing,
        "_follows": bool,
    }

    def __init__(
        self,
        decay: float = 0.999,
        use_buffers: bool = True,
        validate: bool = True,
        final: FinalWeights = "averaged",
        *,
        of: str | None = None,
    ) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"EMA(decay={decay}): allowed: a number from 0, below 1")
        check_final_weights("EMA", final)
        self.decay = decay
        self.use_buffers = use_buffers
        self.validate = validate
        self.final = final
        self.of = checked_name("EMA", of)
        self.averaged: AveragedModel | None = None
        self.updates = 0
        self._updated = False
        self._follows = False
        self._trained: list[Tensor] | None = None
        self._state: TrainState | None = None
        self._model: nn.Module | None = None

    @property
    def writes(self) -> Writes:
        """The weights: around validations, at the end, or both."""
        signals = ["begin_validate", "after_validate"] if self.validate else []
        signals += ["after_fit"] if self.final == "averaged" else []
        return dict.fromkeys(signals, ("model.weights",))

    def attached(self, trainer: TrainerProtocol) -> None:
        self._state, self._follows = trainer.state, False
        check_model_target(self, trainer)

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._state, self._follows = state, False
        model = model_of(state, self.of)
        if not has_lazy_parts(model):  # else the first step makes it
            self._get_averaged(model)
        self._updated = False

    def after_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.outcome == "completed" and is_own_update(state, self.of):
            model = model_of(state, self.of)
            self._update(self._get_averaged(model), model)
            self._updated = True

    def within_validate(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        model = model_of(state, self.of)
        if self.averaged and self.validate and self._updated and state.job == "fit":
            self._trained = [tensor.clone() for tensor in tensors(model, self.use_buffers)]
            copy_into(model, self.averaged, self.use_buffers)
        try:
            yield
        finally:
            if self._trained is not None:
                copy_tensors(tensors(model_of(state, self.of), self.use_buffers), self._trained)
                self._trained = None

    def validated_weights(self) -> dict[str, Tensor]:
        """The weights that the next validation of the fit uses, by their names in a checkpoint."""
        if not (self.averaged and self.validate and self._updated and self._state):
            return {}
        model = self.averaged.module
        buffers = () if self.use_buffers else {name for name, _ in model.named_buffers()}
        live = model_of(self._state, self.of)
        prefix = next((f"{n}." for n, other in self._state.models.items() if other is live), "")
        return {
            prefix + name.replace(COMPILED_PREFIX, ""): value
            for name, value in model.state_dict().items()
            if isinstance(value, Tensor) and name not in buffers
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "averaged": self.averaged and values(self.averaged.module),
            "updates": self.updates,
            "updated": self._updated,
            "trained": self._trained,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates, self._updated = state["updates"], state["updated"]
        self._trained, self._follows = state["trained"], False
        if state["averaged"] is not None and self._state is not None:
            model = model_of(self._state, self.of)
            if self._trained is not None:
                live = tensors(model, self.use_buffers)
                self._trained = list(map(sharded_as, live, self._trained))
            averaged = self._get_averaged(model)
            load_values(averaged.module, state["averaged"])
            averaged.n_averaged.fill_(self.updates)

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        updated, self._updated = self._updated, False
        if updated and self.averaged and self.final == "averaged" and state.outcome != "failed":
            copy_into(model_of(state, self.of), self.averaged, self.use_buffers)

    def _get_averaged(self, model: nn.Module) -> AveragedModel:
        original = uncompiled(model)
        if self.averaged is not None and not self._is_of(original, self.averaged.module):
            self._forget(original)
        if self.averaged is None:
            self.averaged = make_averaged_model("EMA", model, use_buffers=self.use_buffers)
        if not self._follows:  # the model can have become sharded since
            follow_sharding(self.averaged, model)
        self._model, self._follows = original, True
        return self.averaged

    def _is_of(self, model: nn.Module, averaged: nn.Module) -> bool:
        """Whether the average is that of a model; a copy of this handler only knows its shapes."""
        if self._model is not None:
            return self._model is model
        shapes = [[t.shape for t in tensors(each, buffers=True)] for each in (averaged, model)]
        return shapes[0] == shapes[1]

    def _forget(self, model: nn.Module) -> None:
        warnings.warn(
            f"EMA averages another {type(model).__name__} than in its last fit: the average starts "
            "anew; use an EMA for each model, to keep each average",
            stacklevel=2,
        )
        self.averaged, self.updates, self._updated = None, 0, False

    def _update(self, averaged: AveragedModel, model: nn.Module) -> None:
        """Like `AveragedModel.update_parameters`, but without a device sync."""
        blended: list[tuple[Tensor, Tensor]] = []
        parameters = sum(1 for _ in model.parameters())
        pairs = zip(tensors(averaged.module, True), tensors(model, True), strict=True)
        for index, (mean, live) in enumerate(pairs):
            wanted = self.use_buffers or index < parameters
            if self.updates and wanted and can_be_averaged(mean):
                blended.append((rows_here(mean), rows_here(live).to(mean.device)))
            else:
                copy_values(mean, live)
        if blended:
            _blend(self.decay)([mean for mean, _ in blended], [live for _, live in blended], None)
        self.updates += 1
        averaged.n_averaged += 1


@functools.cache
def _blend(decay: float) -> Callable[..., None]:
    """Torch's function, which no pickle could contain."""
    blend: Callable[..., None] = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return blend
