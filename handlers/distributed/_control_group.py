"""The votes of the ranks over `torch.distributed`: a group of their own, on the CPU."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Protocol

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore

from ...events import PeerError, TrainState
from ...events.utils.exact_context import exact_context
from .._torch_internals import default_store
from ._compared_ranks import failed_text, refuse_failed
from ._vote_messages import VoteMessages, vote_messages

_ROLL_CALL = timedelta(seconds=5)
"""How long a rank is waited for, to name the one that is lost."""

_LOST = (RuntimeError, ValueError, OSError)
"""What an exchange raises if a rank is lost, or if this one has left."""


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
        messages: of the votes.
        store: a part of the store of the process group, used for nothing else.
        collective: see `Agreement.collective`.
        release: ends the group of the gradients, so that the other ranks fail in it. What holds
            its connections, a DistributedDataParallel above all, has to be gone before.
        timeout: of a vote; the slowest rank has to come within it.
        overlap: what can be done while a vote is open; None: nothing.

    Attributes:
        collective, overlap: may be written before the first vote.
        is_refused: whether all ranks know that the run cannot begin.
        is_lost: whether this rank has left the votes, or has lost another one.
    """

    def __init__(
        self,
        group: Any,
        messages: VoteMessages,
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
        self._messages = messages
        self._store = store
        self.overlap = overlap
        self.is_refused = self.is_lost = False
        self._numbers: Sequence[int] = ()
        self.vote_watchers: list[Callable[[bool], None]] = []
        self.collective_watchers: list[Callable[[str, bool], None]] = []
        self.may_reduce: Callable[[], bool] = lambda: True
        self.meet: Callable[[str], None] = lambda what: None
        self._release = release
        self._timeout = timeout
        self._distances = _distances()

    @property
    def every(self) -> int:
        """The number of batches of which one has votes."""
        return 1 if self.overlap is None else self.overlap.every

    def begin(self, failure: BaseException | None) -> None:
        """Wait until all ranks say whether they can begin; see `events.Agreement`."""
        own = {} if failure is None else {"failed": failed_text(failure)}
        ranks = [told for (told,) in self.share([own])]
        self.is_refused = True
        if failure is None:
            refuse_failed(ranks)
            self.is_refused = False

    def cast(self, ballot: Sequence[int]) -> None:
        """Send the ballot of this rank. Raises: PeerError, if a rank is lost."""
        self._numbers = ballot
        try:
            self._messages.send(ballot, self._distances[0])
        except _LOST as error:
            raise self._lost(error) from error

    def result(self) -> list[int]:
        """The maxima of the ballots of all ranks. Raises: PeerError, if a rank is lost."""
        try:
            self._merge()
            for distance in self._distances[1:]:
                self._messages.send(self._numbers, distance)
                self._merge()
        except _LOST as error:
            raise self._lost(error) from error
        return [*self._numbers]

    def _merge(self) -> None:
        """Wait for what was begun, and take the maxima."""
        self._numbers = [*map(max, self._numbers, self._messages.receive())]

    def overlaps(self, state: TrainState) -> bool:
        """Whether the vote before the next backward pass can be open while it runs."""
        return self.overlap is not None and self.overlap.overlaps(state)

    def ask_run(self) -> bool:
        """`may_reduce` of the run, which writes it when it begins."""
        return self.may_reduce()

    def ask_meet(self, what: str) -> None:
        """`meet` of the run, which writes it when it begins."""
        self.meet(what)

    def undo_backward(self, state: TrainState) -> None:
        """Take back the gradients of the backward pass for which `overlaps` was True."""
        assert self.overlap is not None, "nothing else overlaps"
        self.overlap.undo_backward(state)

    def certain_batches(self, state: TrainState) -> int:
        """How many more batches this rank fetches in the open pass with certainty."""
        return 0 if self.overlap is None else self.overlap.certain_batches(state)

    def share(self, records: Sequence[Mapping[str, str]]) -> list[list[Mapping[str, str]]]:
        """The records of all ranks. Raises: PeerError, if a rank is lost."""
        texts: list[Any] = [None] * self.world_size
        try:
            if self._group is None:
                raise RuntimeError("this rank has left the votes")
            dist.all_gather_object(texts, json.dumps(list(records)), group=self._group)
        except (RuntimeError, ValueError) as error:
            raise self._lost(error) from error
        return [json.loads(text) for text in texts]

    def abort(self) -> bool:
        """End the group of the gradients; True for the first rank that does."""
        is_first = self._is_first_to_abort()
        self._release()
        return is_first

    def _is_first_to_abort(self) -> bool:
        with suppress(RuntimeError, ValueError):  # its process has ended: nobody else is told
            return bool(self._store.add("aborted", 1) == 1)
        return True

    def leave(self) -> None:
        """End the votes; the other ranks fail at their next."""
        self.is_lost = True
        self._tell("left")
        self._release()
        self.end()

    def end(self) -> None:
        """Close the connections; safe to repeat. The threads of gloo end with the reference."""
        self._messages.close()
        group, self._group = self._group, None
        if group is not None:
            end_group(group)

    def _lost(self, error: BaseException) -> PeerError:
        """The error that names the ranks that have not come to a vote."""
        self.is_lost = True
        self._tell("failed")
        self._is_first_to_abort()  # what fails on other ranks from now on follows from this
        self.end()  # so that the ranks which wait for this one come here, too
        why = "has left the run by itself, after an error or an interrupt there"
        if not (missing := self._left()):
            missing = self._missing()
            why = (
                "has not come: its process has ended, stands still, waits in something else, or "
                "is slower than the others by more than the time that they wait"
            )
        seconds = f"{self._timeout.total_seconds():g} seconds"
        if not missing:
            return PeerError(
                f"the ranks have not come to a vote in time: all {self.world_size} are there, and "
                f"one, maybe rank {self.rank}, was slower than the others by more than the "
                f"{seconds} that they wait ({error})"
            )
        known = len(missing) < self.world_size
        who = f"rank {' or rank '.join(map(str, missing))}" if known else "a rank"
        return PeerError(
            f"{who} {why}; rank {self.rank} has waited in a vote of all {self.world_size} ranks, "
            f"at most {seconds} ({error})",
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
        messages = vote_messages(group, store, _distances(), timeout)
        control = ControlGroup(group, messages, store, collective, release, timeout, overlap)
        try:
            yield control
        finally:
            control.end()
    finally:
        end_group(group)


def _distances() -> list[int]:
    """How far above is the rank that a message goes to, round by round."""
    return [1 << i for i in range((dist.get_world_size() - 1).bit_length())]


def end_group(group: Any) -> None:
    """Destroy a process group, unless that was done."""
    try:
        if dist.is_initialized():
            dist.destroy_process_group(group)
    except ValueError:
        pass
