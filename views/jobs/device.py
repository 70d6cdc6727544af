"""Check the device of `--device`, and move a trainer to it."""

from __future__ import annotations

import torch

from ...engine import Trainer
from ...events.utils.exception_text import first_message_line
from ..output.usage_error import UsageError


def usable_device(name: str) -> torch.device:
    """Return the device called `name`, after a test that it can compute.

    Raises:
        UsageError: the device is not available, or holds no values, as `meta`.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"cannot train on --device {name}: {first_message_line(error)}") from None
    return device


def move_trainer(trainer: Trainer, device: torch.device) -> None:
    """Move a trainer that is not running to `device`: model, loss, optimizer, batches.

    Raises:
        UsageError: the move replaces the parameters, as on some accelerators; the optimizer would
            keep the old ones.
    """
    state = trainer.state
    before = list(state.model.parameters())
    state.model.to(device)
    if any(old is not new for old, new in zip(before, state.model.parameters(), strict=True)):
        raise UsageError(
            f"cannot move the model to {device}: its optimizer would keep the old parameters; give "
            "the factory a parameter device, and create the model there"
        )
    state.device = device
    if isinstance(state.loss_fn, torch.nn.Module):
        state.loss_fn.to(device)
    if state.optimizer is not None and state.optimizer.state:
        # load_state_dict moves the state of each parameter to the device of the parameter
        state.optimizer.load_state_dict(state.optimizer.state_dict())
