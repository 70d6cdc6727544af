"""The device that `--device` names: whether it is there, and how a trainer gets to it."""

from __future__ import annotations

import torch

from ...engine import Trainer
from ..output.usage_error import UsageError, first_line


def usable_device(name: str) -> torch.device:
    """The device called `name`; tried out.

    Raises:
        UsageError: there is none, or it holds no values, as `meta`.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"cannot train on --device {name}: {first_line(error)}") from None
    return device


def move(trainer: Trainer, device: torch.device) -> None:
    """Have a trainer that is not running work on `device`: model, loss, optimizer, batches.

    Raises:
        UsageError: the model cannot get there but with new parameters, as on some accelerators;
            the optimizer would go on with the old ones.
    """
    state = trainer.state
    before = list(state.model.parameters())
    state.model.to(device)
    if any(old is not new for old, new in zip(before, state.model.parameters(), strict=True)):
        raise UsageError(
            f"cannot move a model to {device} beneath its optimizer; give the factory a "
            "parameter device, and make the model there"
        )
    state.device = device
    if isinstance(state.loss_fn, torch.nn.Module):
        state.loss_fn.to(device)
    if state.optimizer is not None and state.optimizer.state:
        # loading puts what it remembers of a parameter beside that parameter
        state.optimizer.load_state_dict(state.optimizer.state_dict())
