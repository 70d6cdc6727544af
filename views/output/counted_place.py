"""Format a place in a fit, counted from 1 as people do."""

from __future__ import annotations


def counted_place(
    epoch: int | None,
    batch: int | None,
    n_epochs: int | None = None,
    n_batches: int | None = None,
) -> str:
    """`epoch 4 of 40, batch 58 of 60` of numbers from 0, as those of the TrainState.

    Before the first epoch or batch, whose number is -1 or None, it is left out.
    """
    counts = (("epoch", epoch, n_epochs), ("batch", batch, n_batches))
    return ", ".join(
        f"{name} {number + 1}" + (f" of {total}" if total else "")
        for name, number, total in counts
        if number is not None and number >= 0
    )
