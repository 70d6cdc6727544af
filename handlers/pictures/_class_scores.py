"""Scores and targets of a classifier, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ...events.utils.value_description import describe

MOST_CLASSES = 1000
_SUM_ERROR = 1e-3


def class_names(owner: str, classes: Any) -> tuple[str, ...] | None:
    """The names of the classes as texts; None: there are none.

    Raises:
        TypeError: it is one text, or no sequence.
    """
    if isinstance(classes, str) or not isinstance(classes, Iterable | None):
        raise TypeError(f"{owner}(classes={classes!r}): allowed: a list of names, None")
    return None if classes is None else tuple(map(str, classes))


def class_scores(
    pred: Any, target: Any, names: Sequence[str] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits `(B, C, …)` in float32, and targets `(B, …)`.

    Args:
        pred: scores `(B, C, …)`, see `logits_of`; logits `(B,)`, `(B, 1)` of the second of two
            classes.
        target: `(B, …)`.
        names: of the classes; None: there are none.

    Raises:
        TypeError: there are no such scores and targets.
        ValueError: too many classes, or another number of names.
    """
    if not isinstance(pred, torch.Tensor) or not isinstance(target, torch.Tensor):
        raise TypeError(_refusal(pred, target))
    scores, targets = pred.detach(), target.detach()
    is_of_one = scores.dim() == 1 or scores.shape[1:] == (1,)
    if is_of_one:
        scores, targets = _of_two_classes(scores.reshape(-1)), targets.reshape(-1).long()
    fits = scores.shape[:1] + scores.shape[2:] == targets.shape
    if not fits or targets.dtype.is_floating_point or not scores.dtype.is_floating_point:
        raise TypeError(_refusal(pred, target))
    _check_classes(scores.shape[1], names)
    scores = scores.float()
    return (scores if is_of_one else logits_of(scores)), targets.long()


def logits_of(scores: torch.Tensor) -> torch.Tensor:
    """Scores `(B, C, …)` of classes as logits: of probabilities the logarithms. Cost: no sync."""
    least = torch.finfo(scores.dtype).tiny  # the logarithm of 0 would make the loss infinite
    return torch.where(are_probabilities(scores), scores.clamp_min(least).log(), scores)


def are_probabilities(scores: torch.Tensor) -> torch.Tensor:
    """Whether all scores `(B, C, …)` are positive or 0, and have the sum 1 over the classes: `()`.

    Of a whole batch, for a single row of logits may be so by chance.
    """
    is_sum_one = (scores.sum(1) - 1).abs() < _SUM_ERROR
    return (is_sum_one & (scores.amin(1) >= 0)).all()


def _of_two_classes(logits: torch.Tensor) -> torch.Tensor:
    return torch.stack((torch.zeros_like(logits), logits), 1)


def _check_classes(found: int, names: Sequence[str] | None) -> None:
    if found > MOST_CLASSES:
        raise ValueError(
            f"Interpretation: the model has scores of {found} classes; allowed: up to "
            f"{MOST_CLASSES}"
        )
    if names is not None and len(names) != found:
        raise ValueError(
            f"Interpretation(classes=…) has {len(names)} names, and the model has scores of "
            f"{found} classes"
        )


def _refusal(pred: Any, target: Any) -> str:
    return (
        f"Interpretation found the prediction {_described(pred)} and the target "
        f"{_described(target)}; allowed: scores (B, C, …) of float and classes (B, …) of int; "
        "choose them with Interpretation(take=function)"
    )


def _described(value: Any) -> str:
    """A value with its shape and type."""
    dtype = f" of {value.dtype}" if isinstance(value, torch.Tensor) else ""
    return f"{describe(value)}{dtype}"
