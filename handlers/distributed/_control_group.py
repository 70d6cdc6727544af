"""The votes of the ranks over `torch.distributed`: a group of their own, on the CPU."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore

from ...events import PeerError, TrainState
from ...events.utils.exact_context import exact_context
from .._torch_internals import default_store

_ROLL_CALL = timedelta(seconds=5)
"""How long a rank is waited for, to name the one that is lost."""


class Overlap(Protocol):
    """See `events.Agreement` for each of the methods."""

    def overlaps(self, state: TrainState) -> bool:
        """Whether a vote can be open while the next backward pass runs."""

    def undo_backward(self, state: TrainState) -> None:
        """Take back the gradients of that pass."""

    def certain_batches(self, state: TrainState) -> int:
        """How many more batches are certain, at most `every`."""

    @property
    def every(self) -> int:
        """The number of batches of which one has votes."""


class ControlGroup:
    """Implements `events.Agreement`: a vote is a few small messages, without a device sync.

    The maximum over all ranks is made by dissemination: in round `i` a rank sends what it has to
    the one `2**i` above, and takes the maximum with what comes from the one `2**i` below; after
    `log2(ranks)` rounds, rounded up, each has that of all. The all-reduce of gloo is a ring, whose
    rounds are twice as many as there are ranks.

    Source: Debra Hensgen, Raphael Finkel, Udi Manber, "Two algorithms for barrier
    synchronization", 1988.

    Args:
        group: of all ranks, over gloo, used for nothing else.
        store: a part of the store of the process group, used for nothing else.
        collective: see `Agreement.collective`.
        release: ends the group of the gradients, so that the other ranks fail in it. What holds
            its connections, a DistributedDataParallel above all, has to be gone before.
        timeout: of a vote; the slowest rank has to come within it.
        overlap: what can be done while a vote is open; None: nothing.
    """

    def __init__(
        self,
        group: Any,
        store: Any,
        collective: Collection[str],
        release: Callable[[], None],
        timeout: timedelta,
        overlap: Overlap | None = None,
    ) -> None:
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        self.collective = collective
        self._group = group
        self._store = store
        self.every = 1 if overlap is None else overlap.every
        self._overlap = overlap
        self._numbers = self._found = torch.empty(0)
        self._messages: list[Any] = []
        self.vote_watchers: list[Callable[[bool], None]] = []
        self.gradient_watchers: list[Callable[[bool], None]] = []
        self.may_reduce: Callable[[], bool] = lambda: True
        self.meet: Callable[[str], None] = lambda what: None
        self._release = release
        self._timeout = timeout
        self._distances = [1 << i for i in range((self.world_size - 1).bit_length())]

    def cast(self, ballot: Sequence[int]) -> None:
        """Send the ballot of this rank. Raises: PeerError, if a rank is lost."""
        self._numbers = torch.tensor(ballot, dtype=torch.int32)
        try:
            self._exchange(self._distances[0])
        except (RuntimeError, ValueError) as error:  # a ValueError, if this rank has left
            raise self._lost(error) from error

    def result(self) -> list[int]:
        """The maxima of the ballots of all ranks. Raises: PeerError, if a rank is lost."""
        try:
            self._merge()
            for distance in self._distances[1:]:
                self._exchange(distance)
                self._merge()
        except (RuntimeError, ValueError) as error:
            raise self._lost(error) from error
        return self._numbers.tolist()

    def _exchange(self, distance: int) -> None:
        """Begin to send the numbers to the rank this far above, and to receive from below."""
        self._found = torch.empty_like(self._numbers)
        size, group = self.world_size, self._group
        receiving = dist.irecv(self._found, (self.rank - distance) % size, group)
        sending = dist.isend(self._numbers, (self.rank + distance) % size, group)
        self._messages = [receiving, sending]

    def _merge(self) -> None:
        """Wait for what was begun, and take the maxima."""
        for message in self._messages:
            if message is not None:  # as in every rank of the group
                message.wait()
        self._numbers = torch.maximum(self._numbers, self._found)

    def overlaps(self, state: TrainState) -> bool:
        """Whether the vote before the next backward pass can be open while it runs."""
        return self._overlap is not None and self._overlap.overlaps(state)

    def ask_run(self) -> bool:
        """`may_reduce` of the run, which writes it when it begins."""
        return self.may_reduce()

    def ask_meet(self, what: str) -> None:
        """`meet` of the run, which writes it when it begins."""
        self.meet(what)

    def undo_backward(self, state: TrainState) -> None:
        """Take back the gradients of the backward pass for which `overlaps` was True."""
        if self._overlap is not None:
            self._overlap.undo_backward(state)

    def certain_batches(self, state: TrainState) -> int:
        """How many more batches this rank fetches in the open pass with certainty."""
        return 0 if self._overlap is None else self._overlap.certain_batches(state)

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
        try:
            is_first: bool = self._store.add("aborted", 1) == 1
        except (RuntimeError, ValueError):  # its process has ended: nobody else is told
            is_first = True
        self._release()
        return is_first

    def leave(self) -> None:
        """End the votes; the other ranks fail at their next."""
        self._tell("left")
        self._release()
        end_group(self._group)

    def _lost(self, error: BaseException) -> PeerError:
        """The error that names the ranks that have not come to a vote."""
        self._tell("failed")
        end_group(self._group)  # so that the ranks which wait for this one come here, too
        why = "has left the run by itself, after an error or an interrupt there"
        if not (missing := self._left()):
            missing = self._missing()
            why = (
                "has not come: its process has ended, stands still, waits in something else, or "
                "is slower than the others by more than the time that they wait"
            )
        known = 0 < len(missing) < self.world_size
        who = f"rank {' or rank '.join(map(str, missing))}" if known else "a rank"
        return PeerError(
            f"{who} {why}; rank {self.rank} has waited in a vote of all {self.world_size} ranks, "
            f"at most {self._timeout.total_seconds():g} seconds ({error})",
            missing[0] if known and len(missing) == 1 else -1,
        )

    def _tell(self, what: str) -> None:
        """Tell it to the other ranks, if the process with the store is still there."""
        with suppress(RuntimeError, ValueError):
            self._store.set(f"{what}/{self.rank}", "")

    def _left(self) -> list[int]:
        """The ranks that have said that they leave."""
        with suppress(RuntimeError, ValueError):
            return [r for r in range(self.world_size) if self._store.check([f"left/{r}"])]
        return []

    def _missing(self) -> list[int]:
        """The ranks that have not found the vote failed, too: all, if the store is gone."""
        return [rank for rank in range(self.world_size) if not self._has_failed(rank)]

    def _has_failed(self, rank: int) -> bool:
        with suppress(RuntimeError, ValueError):
            self._store.wait([f"failed/{rank}"], _ROLL_CALL)
            return True
        return False


@exact_context
def control_group(
    name: str,
    collective: Collection[str],
    release: Callable[[], None],
    timeout: timedelta,
    overlap: Overlap | None = None,
) -> Iterator[ControlGroup]:
    """A group for the votes of one run, with a `name` of its own, within the process group."""
    group = dist.new_group(backend="gloo", timeout=timeout)
    store = PrefixStore(f"trackside/votes/{name}", default_store())
    try:
        yield ControlGroup(group, store, collective, release, timeout, overlap)
    finally:
        end_group(group)


def end_group(group: Any) -> None:
    """Destroy a process group, unless that was done."""
    try:
        if dist.is_initialized():
            dist.destroy_process_group(group)
    except ValueError:
        pass
