"""Whether all ranks are about to run the same: found before they wait for each other in vain."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import Subset

from ...events import TrainerProtocol, TrainState
from ...events.utils.loader_length import loader_length
from .._ranks import gather_over_ranks
from ._comparable import comparable, comparable_items, options_of, options_of_modules
from ._compared_ranks import Facts, failed_text, refuse_differences, refuse_failed, refuse_places
from ._process_group import together

_OPTIONS = ("strategy", "uneven", "vote_every", "shard", "seed", "timeout", "whole")
_PACKAGE = __name__.partition(".")[0]


def agree_to_run(prepare: Callable[[], Facts]) -> None:
    """Compare what all ranks are about to run; what fails on one before that ends all.

    Args:
        prepare: returns the facts of this rank, and where it `begins`.

    Raises:
        RuntimeError: the ranks disagree; PeerError: another one cannot begin, or does not come;
            what `prepare` raises.
    """
    failed: Exception | None = None
    try:
        facts = prepare()
    except Exception as error:  # the other ranks wait for it
        failed, facts = error, {"failed": failed_text(error)}
    ranks = tell_all(facts)
    if failed is not None:
        raise failed
    refuse_failed(ranks)
    refuse_places([each.pop("begins") for each in ranks])
    refuse_differences(ranks)


def tell_all(facts: Facts) -> list[Facts]:
    """The facts of all ranks. Raises: PeerError, if one does not come."""
    with together(dist.get_rank(), dist.get_world_size()):
        return gather_over_ranks(facts, "what the ranks run")


def facts_of(trainer: TrainerProtocol, distributed: Any) -> Facts:
    """What must be equal on all ranks; lengths of loaders only of those that have one.

    With `uneven="join"` the lengths may differ.
    """
    state = trainer.state
    valid = state.valid_loader
    named = {"train_loader": state.train_loader}
    named |= valid if isinstance(valid, Mapping) else {"valid_loader": valid}
    loaders = {name: loader for name, loader in named.items() if loader is not None}
    lengths = {} if distributed.uneven == "join" else loaders
    sharded = loaders if distributed.shard else {}
    return {
        "torch": torch.__version__,
        **{name: getattr(distributed, name) for name in _OPTIONS},
        "run": state.job,
        "evaluation": state.evaluation,
        f"{state.round_scope or 'round'}s": state.n_epochs,
        f"batches in each {state.round_scope or 'round'}": state.batches_per_epoch,
        "chart": [list(map(str, row)) for row in trainer.topology.rows],
        "handlers": [type(h).__name__ for h in trainer.handlers if not hasattr(h, "__name__")],
        **_options_of_handlers(trainer),
        **_facts_of_model(state),
        **{f"length of {name}": loader_length(each) for name, each in lengths.items()},
        **{f"batch size of {name}": _batch_size(each) for name, each in sharded.items()},
        **{f"subset of {name}": _subset(each) for name, each in sharded.items()},
        **{f"seed of {name}": _seed(each) for name, each in loaders.items()},
        **{f"order of {name}": _order(each) for name, each in sharded.items()},
    }


def _facts_of_model(state: TrainState) -> Facts:
    optimizer = state.optimizer
    return {
        "model": {
            name: f"{tuple(value.shape)} {value.dtype}"
            for name, value in state.model.state_dict().items()
            if isinstance(value, torch.Tensor)
        },
        "modules": options_of_modules(state.model),
        "loss": _loss(state.loss_fn),
        "frozen": [n for n, p in state.model.named_parameters() if not p.requires_grad],
        "optimizer": type(optimizer).__name__,
        "options of its groups": {
            f"{name} of group {place}": value
            for place, group in enumerate([] if optimizer is None else optimizer.param_groups)
            for name, value in comparable_items({**group, "params": len(group["params"])}).items()
        },
    }


def _options_of_handlers(trainer: TrainerProtocol) -> Facts:
    """What handlers of this package were made with, but for those that only write.

    Paths, functions and seeds of augmentations may differ from rank to rank. Of several of one
    class the second is called `EMA 2`.
    """
    found: Facts = {}
    for handler in trainer.handlers:
        kind = type(handler)
        only_writes = getattr(handler, "on_error", "raise") != "raise"
        if only_writes or not kind.__module__.startswith(f"{_PACKAGE}."):
            continue
        name, number = f"options of {kind.__name__}", 1
        while name in found:
            number += 1
            name = f"options of {kind.__name__} {number}"
        found[name] = {} if kind.__name__ == "Distributed" else options_of(handler)
    return found


def _loss(loss_fn: Any) -> str:
    """The loss as text, with what one of torch was made with."""
    kind = type(loss_fn)
    if not isinstance(loss_fn, torch.nn.Module):
        return str(getattr(loss_fn, "__qualname__", kind.__qualname__))
    names = getattr(loss_fn, "__constants__", ())
    constants = comparable_items({n: getattr(loss_fn, n) for n in names if hasattr(loss_fn, n)})
    return f"{kind.__name__}({', '.join(f'{n}={value}' for n, value in constants.items())})"


def _subset(loader: Any) -> str | None:
    """The indices of a `Subset`, which a split without a seed draws differently on each rank."""
    dataset = getattr(loader, "dataset", None)
    if not isinstance(dataset, Subset) or not len(dataset):
        return None
    indices = dataset.indices
    try:
        content = array("q", indices).tobytes()
    except (TypeError, OverflowError):  # keys of another kind, such as texts
        content = repr([*indices]).encode()
    digest = zlib.crc32(content)
    return f"of {len(indices)} examples from {indices[0]} to {indices[-1]}, checksum {digest:08x}"


def _batch_size(loader: Any) -> Any:
    found = comparable(getattr(loader, "batch_size", None))
    return found if type(found) is int else None


def _seed(loader: Any) -> Any:
    """The seed of a KeyedLoader, or of the generator that a user has given to a DataLoader."""
    if hasattr(loader, "state_dict"):
        return loader.state_dict().get("seed")
    return getattr(getattr(loader, "batch_sampler", None), "seed", None)


def _order(loader: Any) -> Facts:
    """What else decides which examples come in which order."""
    if hasattr(loader, "set_rank"):  # a KeyedLoader
        return comparable_items(loader.state_dict())
    found = {
        "examples": loader_length(getattr(loader, "dataset", None)),
        "sampler": type(getattr(loader, "sampler", None)).__name__,
        "drop_last": getattr(loader, "drop_last", None),
    }
    return comparable_items(found)
