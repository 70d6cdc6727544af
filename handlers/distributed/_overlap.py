"""What a run does while a vote is open, and without one."""

from __future__ import annotations

from ...events import TrainState
from ._loader_shards import LoaderShards, loader_of
from ._wrapped_model import WrappedModel, clear_gradients


class RunOverlap:
    """Lets a vote be open during a backward pass, and saves that on a batch which is certain.

    Args:
        model: of a fit; None in other runs.
        shards: of the loaders; None if it is not known how many batches they have.
        every: the number of batches of which one has votes, while more are certain.
    """

    def __init__(
        self, model: WrappedModel | None, shards: LoaderShards | None, every: int = 1
    ) -> None:
        self._model = model
        self.every = every
        waits = model is not None and "forward" in model.collective
        # a rank whose loader has failed would be waited for in a forward pass
        self._shards = None if waits and every == 1 else shards

    def overlaps(self, state: TrainState) -> bool:
        """Whether the vote before the next backward pass can be open while it runs."""
        return self._model is not None and self._model.overlaps(state)

    def undo_backward(self, state: TrainState) -> None:
        """Take back the gradients of that pass, before which there were none."""
        clear_gradients(state.model)

    def certain_batches(self, state: TrainState) -> int:
        """How many more the loader has, if it was sharded here, so that its length is right."""
        if self._shards is None or state.batches is None or state.n_batches is None:
            return 0
        if state.validate_next or not self._shards.know_length(loader_of(state)):
            return 0
        return max(0, min(self.every, state.n_batches - state.batch_index - 1))


def check_vote_every(vote_every: int, uneven: str) -> None:
    """Check the option of `Distributed`.

    Raises:
        TypeError, ValueError: says what is allowed.
    """
    if type(vote_every) is not int:
        raise TypeError(f"Distributed(vote_every={vote_every!r}): allowed: an int, from 1")
    if vote_every < 1:
        raise ValueError(f"Distributed(vote_every={vote_every}): allowed: an int, from 1")
    if vote_every > 1 and uneven == "join":
        raise ValueError(
            f"Distributed(vote_every={vote_every}, uneven='join'): allowed: one of them, as it is "
            "not known there how many batches follow"
        )
