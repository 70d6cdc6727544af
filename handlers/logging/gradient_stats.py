"""What the parameters of a model learn from."""

from __future__ import annotations

from torch import Tensor

from ...events import TrainerProtocol, TrainState
from ._tensor_stats import Statistics


class GradientStats(Statistics):
    """Records mean, standard deviation and histogram of the gradients of all parameters.

    They are those of a whole step: accumulated and unscaled, and not clipped.

    Signals: begin_fit, begin_step, after_epoch
    Reads: model, epoch, batch_index, step
    Cost: no sync a batch, if gradients are dense; one an epoch, which reads what was kept on the
        device: bins + 2 numbers for each parameter and step observed

    Args:
        every: optimizer steps from one observed to the next; the first of a fit is.
        bins: of the histogram.
        decades: limits of the histogram, which counts log10 of the magnitudes; what lies outside,
            such as 0, counts in the outermost bins.

    Attributes:
        rows: a dict for each gradient observed: `fit`, `epoch`, `batch`, `step` (updates made
            before it in this fit), `name`, `mean`, `std`, `histogram`: counts in each bin, without
            NaN.
        edges: of the bins, one more than there are bins.

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
                    self._add(state, name.removeprefix("_orig_mod."), parameter.grad)

    def _scaled(self, values: Tensor) -> Tensor:
        return values.abs().log10()
