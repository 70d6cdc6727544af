"""The votes of the ranks over `torch.distributed`: a group of their own, on the CPU."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore

from ...events import PeerError
from ...events.utils.exact_context import exact_context
from .._torch_internals import default_store

_ROLL_CALL = timedelta(seconds=5)
"""How long a rank is waited for, to name the one that is lost."""


class ControlGroup:
    """Implements `events.Agreement`: each vote is one small all-reduce, without a device sync.

    Args:
        group: of all ranks, over gloo, used for nothing else.
        store: a part of the store of the process group, used for nothing else.
        collective: see `Agreement.collective`.
        release: ends the group of the gradients, so that the other ranks fail in it. What holds
            its connections, a DistributedDataParallel above all, has to be gone before.
        timeout: of a vote; the slowest rank has to come within it.
    """

    def __init__(
        self,
        group: Any,
        store: Any,
        collective: Collection[str],
        release: Callable[[], None],
        timeout: timedelta,
    ) -> None:
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        self.collective = collective
        self._group = group
        self._store = store
        self.vote_watchers: list[Callable[[bool], None]] = []
        self._release = release
        self._timeout = timeout

    def vote(self, ballot: Sequence[int]) -> list[int]:
        """The maxima of the ballots of all ranks. Raises: PeerError, if a rank is lost."""
        numbers = torch.tensor(ballot, dtype=torch.int32)
        try:
            dist.all_reduce(numbers, dist.ReduceOp.MAX, group=self._group)
        except (RuntimeError, ValueError) as error:  # a ValueError, if this rank has left
            raise self._lost(error) from error
        return numbers.tolist()

    def share(self, records: Sequence[Mapping[str, str]]) -> list[list[Mapping[str, str]]]:
        """The records of all ranks. Raises: PeerError, if a rank is lost."""
        texts: list[Any] = [None] * self.world_size
        try:
            dist.all_gather_object(texts, json.dumps(list(records)), group=self._group)
        except (RuntimeError, ValueError) as error:
            raise self._lost(error) from error
        return [json.loads(text) for text in texts]

    def abort(self) -> bool:
        """End the group of the gradients; True for the first rank that does."""
        is_first: bool = self._store.add("aborted", 1) == 1
        self._release()
        return is_first

    def leave(self) -> None:
        """End the votes; the other ranks fail at their next."""
        self._store.set(f"left/{self.rank}", "")
        self._release()
        end_group(self._group)

    def _lost(self, error: BaseException) -> PeerError:
        """The error that names the ranks that have not come to a vote."""
        left = [rank for rank in range(self.world_size) if self._store.check([f"left/{rank}"])]
        self._store.set(f"failed/{self.rank}", "")
        end_group(self._group)  # so that the ranks which wait for this one come here, too
        missing = left or list(self._missing())
        who = f"rank {' and '.join(map(str, missing))}" if missing else "a rank"
        why = (
            "has left the run by itself, after an error or an interrupt there"
            if left
            else "is lost: its process has ended, stands still, or waits in something else"
        )
        return PeerError(
            f"{who} {why}; rank {self.rank} has waited for it in a vote of all "
            f"{self.world_size} ranks, at most {self._timeout.total_seconds():g} seconds ({error})",
            missing[0] if missing else -1,
        )

    def _missing(self) -> Iterator[int]:
        """The ranks that do not find the vote failed, too."""
        for rank in range(self.world_size):
            try:
                self._store.wait([f"failed/{rank}"], _ROLL_CALL)
            except (RuntimeError, ValueError):
                yield rank


@exact_context
def control_group(
    name: str, collective: Collection[str], release: Callable[[], None], timeout: timedelta
) -> Iterator[ControlGroup]:
    """A group for the votes of one run, with a `name` of its own, within the process group."""
    group = dist.new_group(backend="gloo", timeout=timeout)
    store = PrefixStore(f"trackside/votes/{name}", default_store())
    try:
        yield ControlGroup(group, store, collective, release, timeout)
    finally:
        end_group(group)


def end_group(group: Any) -> None:
    """Destroy a process group, unless that was done."""
    try:
        if dist.is_initialized():
            dist.destroy_process_group(group)
    except ValueError:
        pass
