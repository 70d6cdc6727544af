"""Call a factory to create a job on the requested device."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from ...engine import Trainer
from ..output.usage_error import UsageError
from .device import move_trainer
from .job import Job


def create_job(factory: Callable[..., Any], name: str, device: torch.device | None = None) -> Job:
    """Call a factory, and return its job.

    If `device` is given, it is passed to a factory with a parameter `device`; the job of another
    factory is moved to it.

    Args:
        factory: returns a `Job`.
        name: of the factory, in messages.

    Raises:
        UsageError: the factory cannot be called with these arguments, or does not return a Job.
            An exception of the factory itself is not caught.
    """
    arguments = _arguments(factory, name, device)
    job = factory(**arguments)
    if not isinstance(job, Job):
        raise UsageError(f"{name} returned a {type(job).__name__}; expected a trackside.views.Job")
    if not isinstance(job.trainer, Trainer):
        raise UsageError(
            f"the trainer of the Job of {name} is a {type(job.trainer).__name__}; "
            "expected a trackside.engine.Trainer"
        )
    if device is not None and not arguments:
        move_trainer(job.trainer, device)
    return job


def _arguments(
    factory: Callable[..., Any], name: str, device: torch.device | None
) -> dict[str, torch.device]:
    signature = inspect.signature(factory)
    arguments = {}
    if device is not None and "device" in signature.parameters:
        arguments["device"] = device
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"cannot call {name} with {'device' if arguments else 'no argument'}: {error}; "
            "allowed: a factory without parameters, or with the parameter device, for --device"
        ) from None
    return arguments
