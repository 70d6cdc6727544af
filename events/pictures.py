"""What a handler shows of an evaluation, as plain values: examples, or a confusion matrix.

`TrainState.pictures` has them by name; loggers and the recorder write them.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Shown: TypeAlias = str | bytes
"""A text, or an image as the bytes of a PNG file."""


class Example(NamedTuple):
    """One example of an evaluation."""

    input: Shown
    prediction: Shown
    target: Shown = ""
    """Empty if the batch has no target."""
    is_right: bool | None = None
    """Whether the predicted class is the target; None if there are no classes."""
    loss: float | None = None


class Examples(NamedTuple):
    """Some examples, in the order in which they are shown."""

    examples: tuple[Example, ...]


class Confusion(NamedTuple):
    """How often each class was predicted for each class."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """A row for each target, a column for each prediction."""


Picture: TypeAlias = Examples | Confusion
