"""Batches of examples of similar length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...events.utils.argument_checks import check_whole_number
from ..randomness.batch_generators import seed_of
from ..torch_internals import collate_tensors_with


class SimilarLengths:
    """A batch sampler that puts examples of similar length into a batch.

    The examples of an epoch are shuffled and divided into groups of `batch_size * spread`; each
    group is sorted by length and cut into batches, and the batches are shuffled.

    Args:
        lengths: of each example, in any unit: `[len(text) for text in texts]`.
        batch_size: examples in a batch, from 1; the last batch of the last group may be smaller.
        spread: batches in a group, from 1: more give less padding, and less
            random batches.

    Raises:
        ValueError: a length is negative or not finite; an argument is out of range.
    """

    def __init__(self, lengths: Sequence[float], batch_size: int, spread: int = 50) -> None:
        check_whole_number(f"SimilarLengths(batch_size={batch_size!r})", batch_size, 1)
        check_whole_number(f"SimilarLengths(spread={spread!r})", spread, 1)
        self.lengths = torch.as_tensor(lengths)
        are_lengths = self.lengths.isfinite() & (self.lengths >= 0)
        if self.lengths.dim() != 1 or not bool(are_lengths.all()):
            raise ValueError(
                "SimilarLengths(lengths=…): allowed: for each example a finite number, from 0"
            )
        self.batch_size = batch_size
        self.spread = spread

    def __call__(self, seed: int, epoch: int) -> list[list[int]]:
        """The batches of an epoch."""
        generator = torch.Generator("cpu").manual_seed(seed_of(seed, epoch))
        order = torch.randperm(len(self.lengths), generator=generator)
        batches = [
            batch.tolist()
            for group in torch.split(order, self.batch_size * self.spread)
            for batch in torch.split(self._sorted(group), self.batch_size)
        ]
        shuffled = torch.randperm(len(batches), generator=generator).tolist()
        return [batches[place] for place in shuffled]

    def _sorted(self, group: torch.Tensor) -> torch.Tensor:
        return group[self.lengths[group].argsort(stable=True)]


def pad_collate(examples: list[Any]) -> Any:
    """A `collate_fn` that pads tensors of different length with zeros, up to the longest.

    Like torch's `default_collate`, but that tensors may differ in their first dimension: `(T, …)`
    become `(B, longest T, …)`. Containers are kept; where a mask or another value for padding is
    needed, write a `collate_fn`.
    """
    return collate_tensors_with(_pad_tensors, examples)


def _pad_tensors(tensors: list[torch.Tensor]) -> torch.Tensor:
    if len({tensor.shape for tensor in tensors}) == 1:
        return torch.stack(tensors)
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True)
