"""CutMix."""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch
from torch import Tensor

from ._mixing import Mixing


class CutMix(Mixing):
    """Trains on images with a box of another image in them, and on the loss of both targets.

    Each batch draws one area from Beta(alpha, alpha), the place of the box, and a partner for every
    example; with λ the share of pixels outside of the box the loss is λ·loss(pred, own targets) +
    (1 - λ)·loss(pred, partners' targets), for any `loss_fn`. `yb` stays as it is: training
    metrics compare with the own targets. Validation is not changed.

    Signals: begin_fit, begin_batch, after_batch; wraps loss
    Reads: xb, yb, loss_fn, training
    Writes: xb, loss
    Raises: AttachError when attached or at begin_fit: there is no loss_fn, or something else mixes
        already; TypeError: inputs that are no tensor (B, …, H, W); a batch without
        targets
    Cost: no sync; the loss is computed twice
    Source: Sangdoo Yun, Dongyoon Han, Seong Joon Oh, Sanghyuk Chun, Junsuk Choe, Youngjoon Yoo,
        "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
        2019

    Args:
        alpha: of the Beta distribution, above 0: 1 takes boxes of all areas evenly.
        seed: of the generator of its own that all is drawn from; the global one is untouched.

    Attributes:
        generator: that generator, on the CPU.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    def __init__(self, alpha: float = 1.0, seed: int = 0) -> None:
        super().__init__(alpha, seed)

    def _mix(self, inputs: Any) -> tuple[Any, float, Tensor]:
        if not isinstance(inputs, Tensor) or inputs.ndim < 3:
            shape = f" {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else ""
            raise TypeError(
                f"CutMix cannot mix a {type(inputs).__name__}{shape}; expected images: a tensor "
                "(B, …, H, W)"
            )
        share, partners = self._drawn(len(inputs), inputs.device)
        height, width = inputs.shape[-2:]
        rows, columns = self._box(height, width, share)
        mixed = inputs.clone()
        mixed[..., rows, columns] = inputs[partners][..., rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return mixed, 1 - area / (height * width), partners

    def _box(self, height: int, width: int, share: float) -> tuple[slice, slice]:
        """A box of 1 - `share` of the area, but for what of it lies outside of the image."""
        places = torch.rand(2, generator=self.generator, device="cpu").tolist()
        side = sqrt(1 - share)
        rows, columns = (
            _around(int(place * size), int(size * side), size)
            for place, size in zip(places, (height, width), strict=True)
        )
        return rows, columns


def _around(centre: int, length: int, size: int) -> slice:
    start = centre - length // 2
    return slice(max(0, start), min(size, start + length))
