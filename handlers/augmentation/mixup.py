"""MixUp."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ._mixing import Mixing


class MixUp(Mixing):
    """Trains on weighted means of two inputs, and on the loss of both their targets.

    Each batch draws one share λ from Beta(alpha, alpha), and a partner for every example; the loss
    is λ·loss(pred, own targets) + (1 - λ)·loss(pred, partners' targets), for any `loss_fn`. `yb`
    stays as it is: training metrics compare with the own targets. Validation is not changed.

    Signals: begin_fit, begin_batch, after_batch; wraps loss
    Reads: xb, yb, loss_fn, training
    Writes: xb, loss
    Raises: AttachError when attached or at begin_fit: there is no loss_fn, or something else mixes
        already; TypeError: inputs that are no floating-point tensors, or tensors in
        a tuple; a batch without targets
    Cost: no sync; the loss is computed twice
    Source: Hongyi Zhang, Moustapha Cisse, Yann N. Dauphin, David Lopez-Paz, "mixup: Beyond
        Empirical Risk Minimization", 2018

    Args:
        alpha: of the Beta distribution, above 0: small ones mix little, 1 mixes evenly.
        seed: of the generator of its own that all is drawn from; the global one is untouched.

    Attributes:
        generator: that generator, on the CPU.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    def __init__(self, alpha: float = 0.2, seed: int = 0) -> None:
        super().__init__(alpha, seed)

    def _mix(self, inputs: Any) -> tuple[Any, float, Tensor]:
        parts = inputs if isinstance(inputs, (tuple, list)) else [inputs]
        for part in parts:
            if not (isinstance(part, Tensor) and part.is_floating_point()):
                what = part.dtype if isinstance(part, Tensor) else f"a {type(part).__name__}"
                raise TypeError(
                    f"MixUp cannot mix {what}; expected a floating-point tensor, or a tuple of them"
                )
        share, partners = self._drawn(len(parts[0]), parts[0].device)
        mixed = [part * share + part[partners] * (1 - share) for part in parts]
        return (mixed[0] if isinstance(inputs, Tensor) else tuple(mixed)), share, partners
