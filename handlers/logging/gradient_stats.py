"""Statistics of the gradients of parameters."""

from __future__ import annotations

from torch import Tensor

from ...events import TrainerProtocol, TrainState
from .._named_target import OptimizerTarget, checked_name, count_step, is_own_update, model_of
from .._torch_internals import COMPILED_PREFIX
from ._tensor_stats import TensorStats


class GradientStats(OptimizerTarget, TensorStats):
    """Records mean, standard deviation and histogram of the gradients of all parameters.

    The gradients are those of a whole step: accumulated and unscaled, before clipping.

    Signals: begin_fit, begin_step, after_epoch
    Reads: model, epoch, batch_index, step
    Cost: no sync a batch if gradients are dense; one an epoch, which reads bins + 2 numbers for
        each parameter and observed step
    Does not: see gradients after they were clipped

    Args:
        every: observe every n-th optimizer step, from 1; the first step of a fit is observed.
        bins: number of bins of the histogram.
        decades: range of the histogram, which counts log10 of the magnitudes; values outside, such
            as 0, count in the outermost bins.
        of: name of the optimizer and of its model, of a trainer with several; None: the only one.

    Attributes:
        rows: a dict for each observed gradient: `fit`, `epoch`, `batch`, `step` (optimizer steps
            made before it in this fit), `name`, `mean`, `std`, `histogram`: counts in each bin,
            without NaN.
        edges: the edges of the bins, bins + 1 numbers.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    reads = ("model", "epoch", "batch_index", "step")

    saved = (*TensorStats.saved, "_steps")

    runs_after = ("GradientAccumulation", "MixedPrecision")
    runs_before = ("GradientClip", "SkipBadBatch", "StopOnNaN")

    def __init__(
        self,
        every: int = 100,
        bins: int = 40,
        decades: tuple[float, float] = (-12.0, 2.0),
        *,
        of: str | None = None,
    ) -> None:
        super().__init__(every, bins, decades)
        self._decades = self._limits
        self.of = checked_name("GradientStats", of)
        self._steps: dict[str, int] = {}

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        super().begin_fit(trainer, state)
        self._steps = {}

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if is_own_update(state, self.of) and count_step(state, self._steps) % self.every == 0:
            for name, parameter in model_of(state, self.of).named_parameters():
                if parameter.grad is not None:
                    self._add(state, name.removeprefix(COMPILED_PREFIX), parameter.grad)

    def _transform(self, values: Tensor) -> Tensor:
        return values.abs().log10()
