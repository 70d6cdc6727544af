"""What handlers exchange with the other ranks; called by all ranks in the same order.

Each exchange says what it is: a rank that does not come to the same one is not waited for.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist

from ..events import PeerError
from ..events.utils.exact_context import exact_context
from ._torch_internals import group_timeout

_meet: ContextVar[Callable[[str], None]] = ContextVar("trackside_meet")
"""Begins an exchange in the run of this thread; unset outside of the runs of several ranks."""


@exact_context
def meeting_by(meet: Callable[[str], None]) -> Iterator[None]:
    """Let every exchange in this run begin with `meet(what)`: see `events.Agreement.meet`."""
    before = _meet.get(_go_on)
    _meet.set(meet)
    try:
        yield
    finally:
        _meet.set(before)


def _go_on(what: str) -> None:
    """Begin an exchange outside of a run."""


def meet(what: str) -> None:
    """Wait until all ranks are about to exchange `what`; a rank that has failed does not come."""
    _meet.get(_go_on)(what)


def sum_over_ranks(values: torch.Tensor, what: str) -> torch.Tensor:
    """The sum of `values` over all ranks, in place. Cost: a vote, a collective."""
    meet(what)
    dist.all_reduce(values)
    return values


def gather_over_ranks(value: Any, what: str) -> list[Any]:
    """The `value` of each rank, by rank: anything that can be pickled.

    Raises:
        TypeError: it cannot; the other ranks do not wait for this one.

    Cost: a vote, a device sync
    """
    own = _pickled(value, what)
    meet(what)
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, own)
    return [pickle.loads(each) for each in gathered]


def gather_on_main(value: Any, what: str) -> list[Any]:
    """The `value` of each rank on rank 0, elsewhere that of this rank.

    Raises:
        TypeError: as `gather_over_ranks`.

    Cost: a vote, a device sync
    """
    own = _pickled(value, what)
    meet(what)
    gathered: list[Any] = [None] * dist.get_world_size()
    is_main = dist.get_rank() == 0
    dist.gather_object(own, gathered if is_main else None)
    return [pickle.loads(each) for each in gathered] if is_main else [value]


def _pickled(value: Any, what: str) -> bytes:
    """Pickle before the vote: who fails then has not come to the exchange."""
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise TypeError(
            f"rank {dist.get_rank()} cannot send {what} to the other ranks, as it cannot be "
            f"pickled: {type(error).__name__}: {error}; allowed: numbers, texts, tensors, and "
            "objects of classes that a module defines"
        ) from error


class BackgroundGroup:
    """All ranks as they meet in another thread; all make it together. Implements `events.Peers`."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self._group: Any = dist.new_group(backend="gloo", timeout=group_timeout())

    def exchange(self, text: str) -> list[str]:
        """The texts of all ranks. Raises: PeerError, if a rank is lost."""
        texts: list[Any] = [None] * dist.get_world_size()
        try:
            dist.all_gather_object(texts, text, group=self._group)
        except (RuntimeError, ValueError) as error:
            raise PeerError(
                f"a rank is lost: rank {self.rank} has waited for it to write a checkpoint "
                f"together ({error})"
            ) from error
        return texts

    def close(self) -> None:
        """End the group; what another rank waits for in it fails."""
        if dist.is_initialized():
            dist.destroy_process_group(self._group)
