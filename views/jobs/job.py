"""What `trackside fit module:factory` trains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...engine import Trainer


@dataclass(frozen=True)
class Job:
    """A trainer and what it is to be fitted to: the arguments of `Trainer.fit`.

    The factory that makes it takes no argument, or `device`: the `torch.device` that was asked
    for at the command line.
    """

    trainer: Trainer
    """With its model, optimizer and handlers."""
    train_loader: Iterable[Any]
    """Anything that gives batches, once an epoch."""
    valid_loader: Iterable[Any] | None = None
    """Read at the end of each epoch; None: epochs have no validation."""
    epochs: int = 1
    """Epochs to train, where the command line names no other number."""
