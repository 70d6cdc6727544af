"""Statistics of the gradients of parameters."""

from __future__ import annotations

from torch import Tensor

from ...events import TrainerProtocol, TrainState
from .._torch_internals import COMPILED_PREFIX
from ._tensor_stats import TensorStats


class GradientStats(TensorStats):
    """Records mean, standard deviation and histogram of the gradients of all parameters.

    The gradients are those of a whole step: accumulated and unscaled, before clipping.

    Signals: begin_fit, begin_step, after_epoch
    Reads: model, epoch, batch_index, step
    Cost: no sync a batch if gradients are dense; one an epoch, which reads bins + 2 numbers for
        each parameter and observed step

    Args:
        every: observe every n-th optimizer step, from 1; the first step of a fit is observed.
        bins: number of bins of the histogram.
        decades: range of the histogram, which counts log10 of the magnitudes; values outside, such
            as 0, count in the outermost bins.

    Attributes:
        rows: a dict for each observed gradient: `fit`, `epoch`, `batch`, `step` (optimizer steps
            made before it in this fit), `name`, `mean`, `std`, `histogram`: counts in each bin,
            without NaN.
        edges: the edges of the bins, bins + 1 numbers.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    runs_after = ("GradientAccumulation", "MixedPrecision")
    runs_before = ("GradientClip", "SkipBadBatch", "StopOnNaN")

    def __init__(
        self, every: int = 100, bins: int = 40, decades: tuple[float, float] = (-12.0, 2.0)
    ) -> None:
        super().__init__(every, bins, decades)

    def begin_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.step % self.every == 0:
            for name, parameter in state.model.named_parameters():
                if parameter.grad is not None:
                    self._add(state, name.removeprefix(COMPILED_PREFIX), parameter.grad)

    def _transform(self, values: Tensor) -> Tensor:
        return values.abs().log10()
