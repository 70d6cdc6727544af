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
    """

    def __init__(self, model: WrappedModel | None, shards: LoaderShards | None) -> None:
        self._model = model
        waits = model is not None and "forward" in model.collective
        # a rank whose loader has failed would be waited for in a forward pass
        self._shards = None if waits else shards

    def overlaps(self, state: TrainState) -> bool:
        """Whether the vote before the next backward pass can be open while it runs."""
        return self._model is not None and self._model.overlaps(state)

    def undo_backward(self, state: TrainState) -> None:
        """Take back the gradients of that pass, before which there were none."""
        clear_gradients(state.model)

    def expects_batch(self, state: TrainState) -> bool:
        """Whether the loader was sharded here, so that its length is right, and has more."""
        if self._shards is None or state.batches is None or state.n_batches is None:
            return False
        if state.validate_next or state.batch_index + 1 >= state.n_batches:
            return False
        return self._shards.know_length(loader_of(state))
