"""The options of `Distributed` for FSDP2, checked before a fit, and what they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from torch import nn

from ...events import AttachError, TrainerProtocol
from ._meta_model import check_resettable, is_on_meta
from ._wrapped_model import is_given

if TYPE_CHECKING:
    from torch.distributed.fsdp import MixedPrecisionPolicy


def check_options(
    strategy: str,
    blocks: Callable[[nn.Module], bool] | None,
    mixed_precision: MixedPrecisionPolicy | None,
    whole: bool,
) -> None:
    """Check the values, and that the strategy has them.

    Raises:
        TypeError, ValueError: names the option.
    """
    if isinstance(blocks, type) or not (blocks is None or callable(blocks)):
        raise TypeError(
            f"Distributed(blocks={blocks!r}): allowed: a function of a module, such as "
            "lambda module: isinstance(module, Block)"
        )
    if mixed_precision is not None and type(mixed_precision).__name__ != "MixedPrecisionPolicy":
        raise TypeError(
            f"Distributed(mixed_precision={mixed_precision!r}): allowed: a "
            "torch.distributed.fsdp.MixedPrecisionPolicy"
        )
    given = {
        "blocks": blocks is not None,
        "mixed_precision": mixed_precision is not None,
        "whole": not whole,
    }
    wrong = [name for name, is_given in given.items() if is_given]
    if wrong and strategy != "fsdp2":
        raise ValueError(
            f"Distributed({strategy!r}, {wrong[0]}=…): allowed with 'fsdp2', which shards the model"
        )


def check_model(
    model: nn.Module, strategy: str, blocks: Callable[[nn.Module], bool] | None
) -> None:
    """Check that the model can be sharded so, and get its first weights.

    Raises:
        ValueError: says why not.
    """
    if strategy != "ddp" and is_given(model):
        raise ValueError("the model is a DistributedDataParallel; allowed with 'ddp'")
    blocks_of(model, blocks)
    check_resettable(model)
    if strategy != "fsdp2" and is_on_meta(model):
        raise ValueError(
            "the model is on the meta device; allowed with 'fsdp2', where a rank has never the "
            "whole model"
        )


def blocks_of(model: nn.Module, is_block: Callable[[nn.Module], bool] | None) -> list[nn.Module]:
    """The modules inside the model that are sharded by themselves, inner ones first.

    Raises:
        ValueError: there is none.
    """
    if is_block is None:
        return []
    found = [module for module in model.modules() if module is not model and is_block(module)]
    if not found:
        raise ValueError(f"blocks= is true for no module inside the {type(model).__name__}")
    return found[::-1]


def check_saved(handlers: Iterable[Any]) -> None:
    """Check that the weights, which leave with the shards, are saved.

    Raises:
        AttachError: they are not.
    """
    if not any(hasattr(handler, "resume_folder") for handler in handlers):
        raise AttachError(
            "Distributed(whole=False): no rank has the model after the fit, and nothing saves it; "
            "attach a Checkpoint"
        )


def modules_held(trainer: TrainerProtocol) -> list[nn.Module]:
    """The modules that handlers hold, such as averages of the model, without the model's own."""
    values = [value for handler in trainer.handlers for value in _attributes(handler)]
    own = {id(module) for module in trainer.state.model.modules()}
    return [v for v in values if isinstance(v, nn.Module) and id(v) not in own]


def _attributes(handler: Any) -> list[Any]:
    return list(getattr(handler, "__dict__", {}).values())
