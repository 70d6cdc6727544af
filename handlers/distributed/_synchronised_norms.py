"""`SyncBatchNorm` exchanges in the group of the gradients, which an error on one rank ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from torch import nn
from torch.nn import SyncBatchNorm

from ...events.utils.exact_context import exact_context
from ._process_group import DataGroup


def synchronised_norms(model: nn.Module) -> list[SyncBatchNorm]:
    """Those of a model that use the default process group."""
    norms = (module for module in model.modules() if isinstance(module, SyncBatchNorm))
    return [norm for norm in norms if norm.process_group is None]


def exchanging_in(
    group: DataGroup, norms: Sequence[SyncBatchNorm], forward: AbstractContextManager[None]
) -> AbstractContextManager[None]:
    """`forward`, the context of a forward pass, in which the norms use the group."""
    return _lent(group, norms, forward) if norms else forward


@exact_context
def _lent(
    group: DataGroup, norms: Sequence[Any], forward: AbstractContextManager[None]
) -> Iterator[None]:
    """Only meanwhile: a model that holds a group cannot be pickled."""
    for norm in norms:
        norm.process_group = group.group
    try:
        with forward:
            yield
    finally:
        for norm in norms:
            norm.process_group = None
