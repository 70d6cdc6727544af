"""Call a factory to create a job on the requested device."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...engine import Trainer
from ...engine.fit_state.seeding import seeded
from ..output.usage_error import UsageError
from .device import move_trainer
from .job import Job


def create_job(
    factory: Callable[..., Any],
    name: str,
    device: torch.device | None = None,
    seed: int | None = None,
    given: Mapping[str, Any] | None = None,
) -> Job:
    """Call a factory, and return its job, whose state has its name and arguments as facts.

    If `device` is given, it is passed to a factory with a parameter `device`; the job of another
    factory is moved to it. If `seed` is given, it is passed to a factory with a parameter `seed`,
    and the global generators are seeded by it while the factory runs.

    Args:
        factory: returns a `Job`, or a tuple `(trainer, train_loader)`, or with a `valid_loader`.
        name: of the factory, in messages.
        given: more arguments.

    Raises:
        UsageError: the factory cannot be called with these arguments, or does not return a Job.
            An exception of the factory itself is not caught.
    """
    arguments = _arguments(factory, name, {"device": device, "seed": seed}, given or {})
    with seeded(seed):
        job = factory(**arguments)
    job = _as_job(job, name)
    if not isinstance(job.trainer, Trainer):
        raise UsageError(
            f"the trainer of the Job of {name} is a {type(job.trainer).__name__}; "
            "expected a trackside.engine.Trainer"
        )
    if device is not None and "device" not in arguments:
        move_trainer(job.trainer, device)
    job.trainer.state.facts |= {"factory": name, "arguments": arguments}
    return job


def _as_job(returned: Any, name: str) -> Job:
    if isinstance(returned, tuple) and len(returned) in (2, 3):
        return Job(*returned)
    if isinstance(returned, Job):
        return returned
    last = returned if isinstance(returned, tuple) else [returned]
    begun = "trainer" if any(isinstance(part, Trainer) for part in last) else "…"
    raise UsageError(
        f"{name} returned a {type(returned).__name__}; expected a trackside.Job: end it with "
        f"`return Job({begun}, train_loader, valid_loader)`, or with "
        f"`return {begun}, train_loader, valid_loader`"
    )


def _arguments(
    factory: Callable[..., Any],
    name: str,
    options: Mapping[str, Any],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """What `given` says, and those of the options that the factory has a parameter for."""
    signature = inspect.signature(factory)
    used = {k: v for k, v in options.items() if v is not None and k in signature.parameters}
    arguments = {**used, **given}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"cannot call {name} with {', '.join(arguments) or 'no argument'}: {error}; "
            "on the command line its parameters are options, such as --lr 0.003; see --help"
        ) from None
    return arguments
