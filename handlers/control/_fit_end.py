"""Ending a fit as if its data ended."""

from __future__ import annotations

from ...events import TrainState


def end_fit_with_batch(state: TrainState) -> None:
    """Make the current batch the last of the fit; the validation of its epoch follows."""
    state.n_epochs = state.epoch + 1
    state.n_batches = state.batch_index + 1
    state.batches = iter(())
