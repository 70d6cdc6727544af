"""Samplers of a `KeyedLoader`: which examples an epoch has, as a function of `(seed, epoch)`."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from typing import Any

import torch
from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from ..randomness.batch_generators import digest_of, seed_of
from ..randomness.host_generators import KeyedHostGenerators
from .epoch_setting import call_set_epoch

Sampler = Callable[[int, int], Iterable[Any]] | Iterable[Any]
"""A function of `(seed, epoch)`, or a sampler of torch; gives indices, or lists of them."""

_KNOWN = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)  # draw from `generator` only
_MOST_WEIGHTS = 2**24  # of torch.multinomial


def read_sampler(sampler: Sampler, seed: int, epoch: int) -> list[Any]:
    """What a sampler gives in an epoch.

    A function is called. A sampler of torch is told the epoch and read to its end, with its
    generator and the global ones seeded by `(seed, epoch)`, and restored.
    """
    if not isinstance(sampler, Iterable):
        return [*sampler(seed, epoch)]
    if type(sampler) in _KNOWN:  # the global generators are not touched
        own: Any = copy.copy(sampler)
        own.generator = torch.Generator("cpu").manual_seed(seed_of(seed, epoch))
        return [*own]
    return _read_any(sampler, seed, epoch)


def _read_any(sampler: Iterable[Any], seed: int, epoch: int) -> list[Any]:
    parts = [sampler, getattr(sampler, "sampler", None)]
    call_set_epoch(parts, epoch)
    states = [
        (generator, generator.get_state()) for part in parts for generator in _generators_in(part)
    ]
    try:
        for generator, _ in states:
            generator.manual_seed(seed_of(seed, epoch))
        given: list[Any] = []
        with KeyedHostGenerators(digest_of(seed, epoch)):
            given += sampler
        return given
    finally:
        for generator, state in states:
            generator.set_state(state)


def _generators_in(part: Any) -> Iterator[torch.Generator]:
    for value in getattr(part, "__dict__", {}).values():
        if isinstance(value, torch.Generator):
            yield value


def check_sampler(name: str, sampler: Any, count: int) -> None:
    """Refuse what cannot choose among `count` examples.

    Raises:
        TypeError, ValueError: says what is allowed.
    """
    tried = f"KeyedLoader({name}={type(sampler).__name__})"
    if isinstance(sampler, Iterator):
        raise TypeError(f"{tried}: it can be read once; allowed: a function of (seed, epoch)")
    if not isinstance(sampler, Iterable):
        _check_function(f"KeyedLoader({name}={sampler!r})", sampler)
    for part in (sampler, getattr(sampler, "sampler", None)):
        for attribute in ("weights", "lengths"):
            values = getattr(part, attribute, None)
            if values is not None and len(values) != count:
                raise ValueError(
                    f"{tried}: found {len(values)} {attribute}; allowed: {count}, one for each "
                    "example of the dataset"
                )
        if isinstance(part, WeightedRandomSampler):
            _check_weights(tried, part)


def _check_function(tried: str, function: Any) -> None:
    allowed = "allowed: a function of (seed, epoch), or a sampler of torch"
    if not callable(function):
        raise TypeError(f"{tried}: {allowed}")
    try:
        inspect.signature(function).bind("seed", "epoch")
    except ValueError:  # a builtin that tells no signature
        pass
    except TypeError as error:
        raise TypeError(f"{tried}: {error}; {allowed}") from None


def _check_weights(tried: str, sampler: WeightedRandomSampler) -> None:
    weights = sampler.weights.tolist()
    for place, weight in enumerate(weights):
        if not (isfinite(weight) and weight >= 0):
            raise ValueError(f"{tried}: weight {place} is {weight}; allowed: finite, from 0")
    possible = sum(weight > 0 for weight in weights)
    least = 1 if sampler.replacement else sampler.num_samples
    if possible < least:
        raise ValueError(
            f"{tried}: found {possible} weights above 0; needed: {least}"
            + ("" if sampler.replacement else ", the examples of an epoch without replacement")
        )
    if len(weights) > _MOST_WEIGHTS:
        raise ValueError(f"{tried}: found {len(weights)} weights; torch draws from {_MOST_WEIGHTS}")
