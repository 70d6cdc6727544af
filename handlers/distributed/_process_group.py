"""The process group of torchrun's environment, joined for a run and left afterwards."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ...events.utils.exact_context import exact_context
from ._control_group import end_group
from ._join_errors import join_error

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_HIGHEST_PORT = 65535
_JOINED = itertools.count()
_STORES: list[Any] = []
_TIMES = 4
"""How many timeouts a store is waited for, which tries to connect more than once."""


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
    return _checked(found["RANK"], found["WORLD_SIZE"], found["MASTER_PORT"])


def _checked(rank: str, world_size: str, port: str) -> tuple[int, int]:
    if not (rank.isdigit() and world_size.isdigit() and int(rank) < int(world_size)):
        raise ValueError(
            f"the environment has RANK={rank!r} and WORLD_SIZE={world_size!r}; allowed: a rank "
            "from 0 that is below the number of processes"
        )
    if not (port.isdigit() and 0 < int(port) <= _HIGHEST_PORT):
        raise ValueError(
            f"the environment has MASTER_PORT={port!r}; allowed: a port, from 1 to {_HIGHEST_PORT}"
        )
    return int(rank), int(world_size)


@exact_context
def joined(rank: int, world_size: int, timeout: timedelta) -> Iterator[int]:
    """Be in a process group: the one that there is, or one for this block.

    Returns:
        A number that is the same on all ranks, and another one in each block.

    Raises:
        PeerError: a rank does not come in time; RuntimeError: they cannot meet.
    """
    number = next(_JOINED)
    if dist.is_initialized():
        yield number
        return
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # the store outlives a restart
    with together(rank, world_size):
        store = PrefixStore(f"trackside/{attempt}/{number}", _rendezvous_store(timeout))
        dist.init_process_group(
            _backend(), timeout=timeout, store=store, rank=rank, world_size=world_size
        )
    try:
        yield number
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


@exact_context
def together(rank: int, world_size: int) -> Iterator[None]:
    """A block in which all ranks meet, before there are votes that tell who is lost.

    Raises:
        PeerError: one does not come; RuntimeError: they cannot meet.
    """
    try:
        yield
    except RuntimeError as error:
        raise join_error(error, rank, world_size) from error


class DataGroup:
    """The group of the weights and gradients of one run, which can be ended by itself.

    Its connections close when nothing refers to the group: whoever uses it asks here each time.
    """

    def __init__(self, timeout: timedelta) -> None:
        self._group: Any = dist.new_group(timeout=timeout)

    @property
    def group(self) -> Any:
        """The group of `torch.distributed`; None after its end."""
        return self._group

    def end(self) -> None:
        """Close its connections, so that the other ranks fail in it; safe to repeat."""
        group, self._group = self._group, None
        if group is not None:
            end_group(group)


def _rendezvous_store(timeout: timedelta) -> Any:
    """The store of torchrun, opened once: every run has a part of its own in it."""
    if not _STORES:
        _STORES.append(_opened(timeout))
    return _STORES[0]


def _opened(timeout: timedelta) -> Any:
    """The store, opened in a thread: another program at its port would let this rank wait forever.

    Raises:
        RuntimeError: it cannot be opened; what `torch.distributed` raises.
    """
    found: list[Any] = []

    def connect() -> None:
        try:
            found.append(next(iter(rendezvous("env://", timeout=timeout)))[0])
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=connect, name="trackside-rendezvous", daemon=True)
    thread.start()
    thread.join(_TIMES * timeout.total_seconds())
    if not found:
        raise RuntimeError(f"nothing came in {_TIMES} × {timeout} while trying to connect to it")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _backend() -> str:
    has_nccl = torch.cuda.is_available() and dist.is_nccl_available()
    return "cpu:gloo,cuda:nccl" if has_nccl else "gloo"
