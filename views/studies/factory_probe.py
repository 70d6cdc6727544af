"""See what a study must know of a factory: its handlers, and that it can be called again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...engine.fit_state.training_state import named_handlers
from ...events.utils.exception_text import first_line
from ...events.utils.similar_names import did_you_mean
from ...handlers import History, Metrics
from ..jobs.job import Job
from ..jobs.named_job import JobSource
from ..jobs.writing_handlers import writes_only
from ..output.usage_error import UsageError
from .probed_job import ProbedJob


def probe(source: JobSource, seed: int, arguments: Mapping[str, Any]) -> ProbedJob:
    """Call a factory twice, and compare the jobs: each fit of a study calls it.

    Raises:
        UsageError: it has no such parameter, fails when it is called again, or does not return a
            new and equal job.
    """
    name = source.name
    if source.arguments is None:  # else each is checked as an option
        _check_parameters(source.factory, name, arguments)
    first = source.create(seed, arguments)
    try:
        second = source.create(seed, arguments)
    except Exception as error:
        raise UsageError(
            f"cannot call {name} twice, and each fit of a study calls it: the second call raised "
            f"{first_line(error)}"
        ) from error
    _compare(name, first, second, seed)
    return _describe(first)


def _describe(job: Job) -> ProbedJob:
    named = named_handlers(job.trainer)
    return ProbedJob(
        [*named],
        {name: [c.__name__ for c in type(one).__mro__] for name, one in named.items()},
        {name: _required(name, one) for name, one in named.items()},
        {name: why for name, one in named.items() if (why := _why_kept(one))},
    )


def _why_kept(handler: Any) -> str:
    if isinstance(handler, (Metrics, History)):
        return "it only measures"
    return "it only writes, and no fit of a study has it" if writes_only(handler) else ""


def _required(name: str, handler: Any) -> list[str]:
    required = getattr(handler, "requires", ())
    if not isinstance(required, (tuple, list)) or not all(isinstance(r, str) for r in required):
        raise UsageError(
            f"{name} has requires = {required!r}; allowed: a tuple of names of handler classes"
        )
    return [*required]


def _check_parameters(factory: Callable[..., Any], name: str, arguments: Mapping[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for argument in arguments:
        if argument not in parameters and not takes_any:
            raise UsageError(
                f"{name} has no parameter {argument!r}{did_you_mean(argument, parameters)}; "
                f"allowed: {', '.join(parameters) or 'none, it has no parameter'}"
            )


def _compare(name: str, first: Job, second: Job, seed: int) -> None:
    problem = _difference(first, second, seed)
    if problem:
        raise UsageError(
            f"cannot compare fits of {name}: called twice, it returned {problem}; allowed: a "
            "factory that makes everything new, and the same for the same seed"
        )


def _difference(first: Job, second: Job, seed: int) -> str:
    """What the second job shares with the first, or has otherwise; empty: as it should be."""
    one, two = named_handlers(first.trainer), named_handlers(second.trainer)
    if first.trainer is second.trainer or first.trainer.state.model is second.trainer.state.model:
        return "the same model"
    if [*one] != [*two]:
        return f"the handlers {', '.join(one)}, then {', '.join(two)}"
    shared = [name for name in one if one[name] is two[name]]
    if shared:
        return f"the same {shared[0]}"
    if not _have_equal_weights(first.trainer.state.model, second.trainer.state.model):
        return f"other weights with seed {seed}"
    return ""


def _have_equal_weights(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return [*one] == [*two] and all(
        not isinstance(value, torch.Tensor) or value.is_meta or torch.equal(value, two[key])
        for key, value in one.items()
    )
