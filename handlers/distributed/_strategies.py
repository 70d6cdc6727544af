"""The model of a fit, wrapped by the strategy that the user has chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn

from ...events import TrainState
from ._given_model import GivenModel
from ._process_group import DataGroup
from ._wrapped_model import ReplicatedModel, WrappedModel, is_given

if TYPE_CHECKING:
    from torch.distributed.fsdp import MixedPrecisionPolicy


def wrapped_model(
    state: TrainState,
    group: DataGroup,
    strategy: str,
    blocks: Callable[[nn.Module], bool] | None,
    mixed_precision: MixedPrecisionPolicy | None,
    whole: bool,
) -> WrappedModel:
    """Wrap the model of `state` until `close`, unless its owner has done that."""
    if is_given(state.model):
        return GivenModel(state.model)
    if strategy == "ddp":
        return ReplicatedModel(state, group)
    from ._sharded_model import ShardedModel, Sharding  # noqa: PLC0415  # fsdp is slow to import

    return ShardedModel(state, group, Sharding(blocks, mixed_precision, whole))
