"""What a classifier confuses and where it is most wrong: as values, and as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...events.pictures import Confusion, Example, Examples, Shown
from ...events.utils.nested import leaves
from ._png_images import ImageScale, encode_image, has_pillow, looks_like_image
from ._shown_values import shown_text

_SHOWN_CLASSES = 40
_SCALE = ImageScale(mean=None, std=None, size=128)

Names = Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Confused:
    """Two classes that a model confuses, by name."""

    target: str
    prediction: str
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class Worst:
    """An example of a large loss."""

    loss: float
    target: Any
    """The number of its class, -100 if it is none; a tensor of them if the example has several."""
    prediction: Any
    """As `target`: the class of the highest score."""
    probability: float | None
    """Of the predicted class; None if there are several."""
    index: int
    """Its place in the evaluation, from 0, in the order of the loader of its rank."""
    input: Any
    """On the CPU; None if it does not consist of tensors with a row for each example."""


def worst_of(loss: float, values: dict[str, Any]) -> Worst:
    """An example of what was kept of it."""
    target, prediction = (_plain(values[name]) for name in ("target", "prediction"))
    probability = float(values["probability"]) if "probability" in values else None
    return Worst(loss, target, prediction, probability, int(values["index"]), values.get("input"))


def _plain(classes: torch.Tensor) -> Any:
    return int(classes) if classes.dim() == 0 else classes


def most_confused(confusion: torch.Tensor, names: Names) -> list[Confused]:
    """All pairs of classes that are confused, the most frequent first."""
    wrong = confusion.clone().fill_diagonal_(0)
    pairs = [(int(row), int(column)) for row, column in wrong.nonzero().tolist()]
    found = [
        Confused(_name(row, names), _name(column, names), int(wrong[row, column]))
        for row, column in pairs
    ]
    return sorted(found, key=lambda one: -one.count)


def confusion_picture(confusion: torch.Tensor, names: Names) -> Confusion:
    """The matrix; of many classes those with the most errors."""
    chosen = torch.arange(len(confusion))
    if len(confusion) > _SHOWN_CLASSES:
        wrong = confusion.clone().fill_diagonal_(0)
        errors = wrong.sum(0) + wrong.sum(1)
        chosen = errors.topk(_SHOWN_CLASSES).indices.sort().values
    shown = confusion[chosen][:, chosen].tolist()
    classes = tuple(_name(number, names) for number in chosen.tolist())
    return Confusion(classes, tuple(map(tuple, shown)))


def worst_picture(worst: Sequence[Worst], names: Names) -> Examples:
    """The worst examples, as they are shown."""
    return Examples(tuple(_example(one, names) for one in worst))


def _example(one: Worst, names: Names) -> Example:
    if not isinstance(one.target, int):
        maps = _shown(one.prediction), _shown(one.target)
        return Example(_shown(one.input), *maps, is_right=None, loss=one.loss)
    share = "" if one.probability is None else f" {one.probability:.0%}"
    prediction = f"{_name(one.prediction, names)}{share}"
    is_right = one.prediction == one.target
    return Example(_shown(one.input), prediction, _name(one.target, names), is_right, one.loss)


def _shown(value: Any) -> Shown:
    """The first image in `value`; else a text."""
    images = (part for part in leaves(value, torch.Tensor) if _is_image(part))
    image = next(images, None) if has_pillow() else None
    return shown_text(value) if image is None else encode_image(image, _SCALE)


def _is_image(value: torch.Tensor) -> bool:
    is_map = value.dim() == 2 and not value.dtype.is_floating_point
    return looks_like_image(value) or is_map


def _name(number: int, names: Names) -> str:
    return names[number] if names is not None and 0 <= number < len(names) else str(number)
