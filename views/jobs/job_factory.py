"""From a factory to the job that it makes, on the device that was asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from ...engine import Trainer
from ..output.usage_error import UsageError
from .device import move
from .job import Job


def make_job(factory: Callable[..., Any], name: str, device: torch.device | None = None) -> Job:
    """Call a factory, which messages call `name`; its job works on `device`, if one is given.

    A factory with a parameter `device` gets it; what another one made is moved.

    Raises:
        UsageError: the factory cannot be called like this, or gives no job. What it raises
            itself is left as it is.
    """
    given = _arguments(factory, name, device)
    job = factory(**given)
    if not isinstance(job, Job):
        raise UsageError(f"{name} returned a {type(job).__name__}; expected a trackside.views.Job")
    if not isinstance(job.trainer, Trainer):
        raise UsageError(
            f"the Job of {name} has a {type(job.trainer).__name__} for a trainer; "
            "expected a trackside.engine.Trainer"
        )
    if device is not None and not given:
        move(job.trainer, device)
    return job


def _arguments(
    factory: Callable[..., Any], name: str, device: torch.device | None
) -> dict[str, torch.device]:
    signature = inspect.signature(factory)
    given = {}
    if device is not None and "device" in signature.parameters:
        given["device"] = device
    try:
        signature.bind(**given)
    except TypeError as error:
        raise UsageError(
            f"cannot call {name} with {'device' if given else 'no argument'}: {error}; "
            "a factory is given nothing but --device, if it has a parameter device"
        ) from None
    return given
