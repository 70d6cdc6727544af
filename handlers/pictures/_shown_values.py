"""Inputs, predictions and targets of single examples, as texts or images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch

from ...events.pictures import Example, Shown
from ...events.utils.nested import children
from ._class_scores import are_probabilities
from ._png_images import ImageScale, encode_image, encode_pillow, looks_like_image

_MOST_NUMBERS = 8
_MOST_CHARACTERS = 400


class Look(NamedTuple):
    """How examples are shown."""

    kind: Literal["image", "text"] | None
    """None: what looks like an image is one."""
    scale: ImageScale
    classes: Sequence[str] | None
    """The names of the classes; None: their numbers."""

    def shown(self, value: Any) -> Shown:
        """A value as a text or a PNG."""
        if value is None:
            return ""
        if hasattr(value, "convert") and hasattr(value, "save"):  # an image of Pillow
            return encode_pillow(value, self.scale.size)
        if self._is_image(value):
            return encode_image(value, self.scale)
        return shown_text(value)

    def _is_image(self, value: Any) -> bool:
        if self.kind == "text":
            return False
        is_flat = self.kind == "image" and len(getattr(value, "shape", ())) == 2
        return looks_like_image(value) or is_flat

    def class_name(self, number: int) -> str:
        """The name of a class, or its number."""
        known = self.classes is not None and 0 <= number < len(self.classes)
        return self.classes[number] if known and self.classes is not None else str(number)

    def example(self, parts: tuple[Any, Any, Any], are_shares: bool = False) -> Example:
        """One example: its input, the output of the model for it, its target.

        Args:
            are_shares: scores of classes are probabilities, no logits.
        """
        value, prediction, target = parts
        if _is_class(prediction, target):
            return self._classified(value, prediction, int(target), are_shares)
        if _is_class_map(prediction, target) and self.kind != "text":
            predicted, wanted = prediction.argmax(0), target.long()
            maps = encode_image(predicted, self.scale), encode_image(wanted, self.scale)
            return Example(self.shown(value), *maps)
        return Example(self.shown(value), self.shown(prediction), self.shown(target))

    def _classified(
        self, value: Any, scores: torch.Tensor, target: int, are_shares: bool
    ) -> Example:
        number = int(scores.argmax())
        scores = scores.float()
        share = float((scores if are_shares else scores.softmax(0))[number])
        text = f"{self.class_name(number)} {share:.0%}"
        return Example(self.shown(value), text, self.class_name(target), number == target)


def shown_text(value: Any) -> str:
    """A value in a few words: numbers are rounded, long ones are cut."""
    if isinstance(value, Mapping):
        text = "\n".join(f"{name}: {shown_text(part)}" for name, part in value.items())
    elif hasattr(value, "tolist"):
        text = _numbers_text(torch.as_tensor(value))
    elif isinstance(value, float):
        text = f"{value:.4g}"
    else:
        parts = None if isinstance(value, str) else children(value)
        text = str(value) if parts is None else ", ".join(map(shown_text, parts))
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _numbers_text(numbers: torch.Tensor) -> str:
    flat = numbers.detach().flatten()
    first = [f"{number:.4g}" for number in flat[:_MOST_NUMBERS].tolist()]
    if numbers.dim() == 0:
        return first[0]
    more = f", … {tuple(numbers.shape)}" if len(flat) > _MOST_NUMBERS else ""
    return ", ".join(first) + more


def has_probabilities(pred: Any) -> torch.Tensor | bool:
    """Whether it is a tensor `(B, C, …)` of probabilities of classes, `()`. Cost: no sync."""
    has_scores = isinstance(pred, torch.Tensor) and pred.dim() > 1 and len(pred) > 0
    return has_scores and pred.dtype.is_floating_point and are_probabilities(pred.detach().float())


def _is_class(scores: Any, target: Any) -> bool:
    """Whether there is a score of each class `(C,)`, and the number of one as target `()`."""
    return _has_scores(scores, target, 1) and len(scores) > 1


def _is_class_map(scores: Any, target: Any) -> bool:
    """Whether scores `(C, H, W)` and a class `(H, W)` belong to each pixel."""
    return _has_scores(scores, target, 3) and scores.shape[1:] == target.shape


def _has_scores(scores: Any, target: Any, dimensions: int) -> bool:
    if not isinstance(scores, torch.Tensor) or not isinstance(target, torch.Tensor):
        return False
    is_whole = not target.dtype.is_floating_point and not target.dtype.is_complex
    fits = scores.dim() == dimensions and target.dim() == dimensions - 1
    return fits and is_whole and scores.dtype.is_floating_point
