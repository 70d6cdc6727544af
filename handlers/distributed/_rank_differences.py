"""Whether all ranks are about to run the same: found before they wait for each other in vain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...events import TrainerProtocol
from ...events.utils.loader_length import loader_length

Facts = dict[str, Any]


def facts_of(trainer: TrainerProtocol, strategy: str, uneven: str, vote_every: int) -> Facts:
    """What must be equal on all ranks; lengths of loaders only of those that have one.

    With `uneven="join"` the lengths may differ.
    """
    state = trainer.state
    valid = state.valid_loader
    loaders = {"train_loader": state.train_loader}
    loaders |= valid if isinstance(valid, Mapping) else {"valid_loader": valid}
    lengths = {} if uneven == "join" else loaders
    return {
        "torch": torch.__version__,
        "strategy": strategy,
        "uneven": uneven,
        "vote_every": vote_every,
        "run": state.job,
        "epochs": state.n_epochs,
        "chart": [list(map(str, row)) for row in trainer.topology.rows],
        "handlers": [type(h).__name__ for h in trainer.handlers if not hasattr(h, "__name__")],
        "model": {
            name: f"{tuple(value.shape)} {value.dtype}"
            for name, value in state.model.state_dict().items()
            if isinstance(value, torch.Tensor)
        },
        **{f"length of {name}": loader_length(each) for name, each in lengths.items() if each},
        **{f"seed of {name}": _seed(each) for name, each in loaders.items() if each},
    }


def refuse_differences(ranks: Sequence[Facts]) -> None:
    """Compare the facts of all ranks with those of rank 0.

    Raises:
        RuntimeError: names a rank, and what is different there; the same on all ranks.
    """
    first = ranks[0]
    found = [
        f"rank {rank} has {name} {_shown(here, there)}, rank 0 has {_shown(there, here)}"
        for rank, facts in enumerate(ranks)
        for name in dict.fromkeys([*first, *facts])
        if (here := facts.get(name)) != (there := first.get(name))
    ]
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise RuntimeError(f"the ranks disagree before the run: {'; '.join(found[:3])}{more}")


def _shown(value: Any, other: Any) -> str:
    """`value`, or those of its entries that differ."""
    if isinstance(value, dict) and isinstance(other, dict):
        own = {name: kept for name, kept in value.items() if other.get(name) != kept}
        return str(dict(list(own.items())[:2]))
    if isinstance(value, list) and isinstance(other, list):
        return str([entry for entry in value if entry not in other] or value)
    return str(value)


def _seed(loader: Any) -> Any:
    """The seed of a KeyedLoader, or of the generator that a user has given to a DataLoader."""
    if hasattr(loader, "state_dict"):
        return loader.state_dict().get("seed")
    return getattr(getattr(loader, "batch_sampler", None), "seed", None)
