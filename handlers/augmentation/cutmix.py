"""CutMix augmentation."""

from __future__ import annotations

from math import sqrt
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._writes import Writes
from ._mixing import PairMixing


class CutMix(PairMixing):
    """Trains on images with a box from another image, and on the loss for both targets.

    For each batch the area of the box is drawn from Beta(alpha, alpha), then its position, and a
    partner for every example. With λ the share of pixels outside the box, the loss is λ·loss(pred,
    own targets) + (1 - λ)·loss(pred, partners' targets), for any `loss_fn`. `yb` is not changed:
    training metrics use the own targets. Validation is not changed.

    Signals: begin_fit, begin_batch, after_batch; wraps loss
    Reads: xb, yb, loss_fn, training
    Writes: xb, loss
    Raises: AttachError when attached or at begin_fit: no loss_fn, or another mixing handler is
        attached; TypeError: inputs are not a tensor (B, …, H, W), or a batch has no targets
    Cost: no sync; the loss is computed twice
    Does not: change targets, validation or prediction
    Source: Sangdoo Yun, Dongyoon Han, Seong Joon Oh, Sanghyuk Chun, Junsuk Choe, Youngjoon Yoo,
        "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
        2019

    Args:
        alpha: parameter of the Beta distribution, above 0; with 1 all areas are equally likely.
        seed: for the handler's own generator; the global generator is not used.

    Attributes:
        generator: the handler's own generator, on the CPU.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    reads = ("xb", "yb", "loss_fn", "training")
    writes: ClassVar[Writes] = {"begin_batch": ("xb",)}

    def __init__(self, alpha: float = 1.0, seed: int = 0) -> None:
        super().__init__(alpha, seed)

    def _mix(self, inputs: Any) -> tuple[Any, float, Tensor]:
        if not isinstance(inputs, Tensor) or inputs.ndim < 3:
            shape = f" {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else ""
            raise TypeError(
                f"CutMix cannot mix a {type(inputs).__name__}{shape}; expected images: a tensor "
                "(B, …, H, W)"
            )
        share, partners = self._draw_pairs(len(inputs), inputs.device)
        height, width = inputs.shape[-2:]
        rows, columns = self._box(height, width, share)
        mixed = inputs.clone()
        mixed[..., rows, columns] = inputs[partners][..., rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return mixed, 1 - area / (height * width), partners

    def _box(self, height: int, width: int, share: float) -> tuple[slice, slice]:
        """Draw a box of 1 - `share` of the area, clipped to the image."""
        centres = torch.rand(2, generator=self.generator, device="cpu").tolist()
        side = sqrt(1 - share)
        rows, columns = (
            _centred_slice(int(centre * size), int(size * side), size)
            for centre, size in zip(centres, (height, width), strict=True)
        )
        return rows, columns


def _centred_slice(centre: int, length: int, size: int) -> slice:
    start = centre - length // 2
    return slice(max(0, start), min(size, start + length))
