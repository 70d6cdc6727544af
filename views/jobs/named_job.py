"""The job that a command names: a factory, its arguments, the handlers of the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from typing import Any

from ..options.handler_option import attach_handlers
from ..options.precision_option import attach_precision
from .device import usable_device
from .factory_arguments import OWN, FactoryArguments, read_arguments
from .import_target import import_factory
from .job import Job
from .job_factory import create_job

_SENT = ("factory", "more", "config", "prog", "known", "handler", "precision")
_SENT_IF_ANY = ("device", "epochs", "seed")


def create_named_job(factory: Callable[..., Any], arguments: argparse.Namespace) -> Job:
    """The job that `arguments` describe, as `trackside fit` has it in one process.

    Args:
        arguments: what a command has parsed that `add_factory` was called for.

    Raises:
        UsageError: an argument is wrong, or a handler cannot be attached.
    """
    read = read_arguments(factory, arguments)
    job = call_factory(factory, arguments, read)
    attach_options(job, arguments)
    return job


def call_factory(
    factory: Callable[..., Any], arguments: argparse.Namespace, read: FactoryArguments
) -> Job:
    """The job, with the arguments of its factory as facts."""
    device = None if arguments.device is None else usable_device(arguments.device)
    job = create_job(factory, arguments.factory, device, arguments.seed, read.given)
    effective = dict(read.effective)
    own: dict[str, Any] = effective.pop(OWN, {})
    job.trainer.state.facts["arguments"] |= effective | own
    return job


def attach_options(job: Job, arguments: argparse.Namespace) -> None:
    """Attach what `--precision` and `--handler` name."""
    if arguments.precision is not None:
        attach_precision(job.trainer, arguments.precision)
    attach_handlers(job.trainer, arguments.handler)


def request_of(arguments: argparse.Namespace) -> str:
    """What a command has parsed, as JSON, from which another process creates the job."""
    sent = {name: getattr(arguments, name) for name in _SENT}
    return json.dumps(sent | {name: getattr(arguments, name, None) for name in _SENT_IF_ANY})


def request_of_target(target: str) -> str:
    """The same for a factory that was given in Python, by its target."""
    return json.dumps({"factory": target})


class JobSource:
    """Creates the job of a factory, again and again.

    Args:
        factory: returns a job.
        name: of the factory, in messages.
        arguments: those of the command line; None: the factory was given in Python.
    """

    def __init__(
        self, factory: Callable[..., Any], name: str, arguments: argparse.Namespace | None = None
    ) -> None:
        self.factory = factory
        self.name = name
        self.arguments = arguments

    @classmethod
    def of_request(cls, request: str) -> JobSource:
        """From what another process has sent.

        Raises:
            UsageError: the factory cannot be imported.
        """
        sent = json.loads(request)
        factory = import_factory(sent["factory"])
        return cls(factory, sent["factory"], argparse.Namespace(**sent) if "more" in sent else None)

    def create(self, seed: int | None = None, varied: Mapping[str, Any] | None = None) -> Job:
        """A new job.

        Args:
            seed: None: that of the command line, if any.
            varied: more arguments of the factory; beside those of a command line they are read
                as text, as those are.

        Raises:
            UsageError: as `create_named_job`.
        """
        if self.arguments is None:
            return create_job(self.factory, self.name, seed=seed, given=varied)
        arguments = argparse.Namespace(**vars(self.arguments))
        arguments.more = [*arguments.more, *words_of(varied or {})]
        arguments.seed = arguments.seed if seed is None else seed
        return create_named_job(self.factory, arguments)


def words_of(varied: Mapping[str, Any]) -> list[str]:
    """Arguments of a factory as on the command line."""
    return [f"--{OWN}.{name}={'null' if v is None else v}" for name, v in varied.items()]
