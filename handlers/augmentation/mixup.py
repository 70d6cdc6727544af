"""MixUp augmentation."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from ...events.utils.nested import map_nested
from .._writes import Writes
from ._mixing import PairMixing


class MixUp(PairMixing):
    """Trains on weighted means of two inputs, and on the loss for both targets.

    For each batch one share λ is drawn from Beta(alpha, alpha), and a partner for every example.
    The loss is λ·loss(pred, own targets) + (1 - λ)·loss(pred, partners' targets), for any
    `loss_fn`. `yb` is not changed: training metrics use the own targets. Validation is not changed.

    Signals: begin_fit, begin_batch, after_batch; wraps loss
    Reads: xb, yb, loss_fn, training
    Writes: xb, loss
    Raises: AttachError when attached or at begin_fit: no loss_fn, or another mixing handler is
        attached; TypeError: inputs are not a floating-point tensor or a tuple of them, or a batch
        has no targets
    Cost: no sync; the loss is computed twice
    Does not: change targets, validation or prediction
    Source: Hongyi Zhang, Moustapha Cisse, Yann N. Dauphin, David Lopez-Paz, "mixup: Beyond
        Empirical Risk Minimization", 2018

    Args:
        alpha: parameter of the Beta distribution, above 0; small values mix little, with 1 all
            shares are equally likely.
        seed: for the handler's own generator; the global generator is not used.

    Attributes:
        generator: the handler's own generator, on the CPU.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    reads = ("xb", "yb", "loss_fn", "training")
    writes: ClassVar[Writes] = {"begin_batch": ("xb",)}

    def __init__(self, alpha: float = 0.2, seed: int = 0) -> None:
        super().__init__(alpha, seed)

    def _mix(self, inputs: Any) -> tuple[Any, float, Tensor]:
        parts = inputs if isinstance(inputs, tuple) else [inputs]
        for part in parts:
            if not (isinstance(part, Tensor) and part.is_floating_point()):
                kind = part.dtype if isinstance(part, Tensor) else f"a {type(part).__name__}"
                raise TypeError(
                    f"MixUp cannot mix {kind}; expected a floating-point tensor, or a tuple of them"
                )
        share, partners = self._draw_pairs(len(parts[0]), parts[0].device)
        mixed = map_nested(lambda part: part * share + part[partners] * (1 - share), inputs)
        return mixed, share, partners
