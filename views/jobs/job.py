"""The job that `trackside fit module:factory` trains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...engine import Trainer


@dataclass(frozen=True)
class Job:
    """A trainer, and the arguments for its `fit`.

    Its factory has no parameter, or `device`, the `torch.device` of the option `--device`, and
    `seed`, the int of `--seed`.
    """

    trainer: Trainer
    """It has the model, the optimizer and the handlers."""
    train_loader: Iterable[Any] | None = None
    """Any iterable of batches, iterated once in each epoch; None: the chart makes its own data."""
    valid_loader: Iterable[Any] | None = None
    """Iterated once at the end of each epoch; None: no validation."""
    epochs: int = 1
    """Epochs to train, unless the command line sets `--epochs`."""
