"""Check that a saved position is one of a loader with the same arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..order.batch_order import BatchOrder

MADE_WITH = "made_with_seed"
"""In a position, the `seed=` of a loader that `fit(seed=…)` has given another one."""


def check_position(order: BatchOrder, made_with: int, saved: Mapping[str, Any]) -> None:
    """Refuse a position of another order; `order` is as before.

    Args:
        made_with: the `seed=` of the loader, which has another seed if a fit has set one.

    Raises:
        ValueError: the arguments that differ; or a sampler gives other examples.
    """
    if type(saved.get("seed")) is not int:
        raise ValueError(f"seed {saved.get('seed')!r} is that of no loader")
    _check_arguments(
        {**order.arguments(), "seed": made_with},
        {**saved, "seed": saved.get(MADE_WITH, saved["seed"])},
    )
    before, order.seed = order.seed, saved["seed"]
    try:
        _check_order(order, saved)
    finally:
        order.seed = before


def _check_arguments(here: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    names = [*here, *({"sampler", "batch_sampler"} & saved.keys() - here.keys())]
    different = [name for name in names if saved.get(name) != here.get(name)]
    if different:
        raise ValueError(
            "the saved position is from a KeyedLoader with other arguments: "
            + "; ".join(f"{n} was {saved.get(n)}, is {here.get(n)}" for n in different)
        )


def _check_order(order: BatchOrder, saved: Mapping[str, Any]) -> None:
    epoch, batch = saved["epoch"], saved["batch"]
    if batch and batch > order.length(epoch):
        raise ValueError(f"batch {batch!r} is no position in it")
    if "order" in saved and saved["order"] != order.fingerprint(epoch):
        raise ValueError(
            f"the sampler gives other examples for epoch {epoch + 1} than in the saved "
            "fit; allowed: what depends on (seed, epoch) only, or a state saved between epochs"
        )
