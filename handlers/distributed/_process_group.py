"""The process group of torchrun's environment, joined for a run and left afterwards."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_JOINED = itertools.count()


def rank_and_world_size(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Those of the process group that there is, or of torchrun's environment; else 0 and 1.

    Raises:
        ValueError: the environment has a part of torchrun's variables only, or wrong values.
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    found = {name: environment[name] for name in _VARIABLES if name in environment}
    if "RANK" not in found and "WORLD_SIZE" not in found:
        return 0, 1
    missing = [name for name in _VARIABLES if name not in found]
    if missing:
        raise ValueError(
            f"the environment has {' and '.join(found)}, and no {' and no '.join(missing)}; "
            "allowed: those of torchrun, or none of them"
        )
    return _checked(found["RANK"], found["WORLD_SIZE"])


def _checked(rank: str, world_size: str) -> tuple[int, int]:
    if not (rank.isdigit() and world_size.isdigit() and int(rank) < int(world_size)):
        raise ValueError(
            f"the environment has RANK={rank!r} and WORLD_SIZE={world_size!r}; allowed: a rank "
            "from 0 that is below the number of processes"
        )
    return int(rank), int(world_size)


@contextmanager
def joined(rank: int, world_size: int, timeout: timedelta) -> Iterator[None]:
    """Be in a process group: the one that there is, or one for this block."""
    if dist.is_initialized():
        yield
        return
    store = dist.PrefixStore(f"trackside/{next(_JOINED)}", _rendezvous_store())  # type: ignore[attr-defined]
    dist.init_process_group(
        _backend(), timeout=timeout, store=store, rank=rank, world_size=world_size
    )
    try:
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def data_group(timeout: timedelta) -> Iterator[dist.ProcessGroup]:
    """A group for the gradients and weights of one run, which can be ended by itself."""
    group: Any = dist.new_group(timeout=timeout)
    try:
        yield group
    finally:
        with suppress(ValueError):  # an error on a rank has ended it already
            dist.destroy_process_group(group)


@functools.cache
def _rendezvous_store() -> Any:
    """The store of torchrun, opened once: every run has a part of its own in it."""
    store, _, _ = next(iter(rendezvous("env://")))
    return store


def _backend() -> str:
    has_nccl = torch.cuda.is_available() and dist.is_nccl_available()
    return "cpu:gloo,cuda:nccl" if has_nccl else "gloo"
