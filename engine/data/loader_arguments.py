"""Checks of the arguments of a `KeyedLoader`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import IterableDataset

from ...events.utils.argument_checks import check_no_class, check_whole_number


def check_arguments(dataset: Any, batch_size: Any, seed: Any, options: Mapping[str, Any]) -> None:
    """Refuse what no loader can be made of.

    Raises:
        TypeError, ValueError: says what is allowed.
    """
    check_no_class("KeyedLoader(dataset)", dataset)
    if isinstance(dataset, IterableDataset) or not (
        hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    ):
        raise TypeError(
            f"KeyedLoader({type(dataset).__name__}): expected a dataset with __len__ and "
            "__getitem__; a stream has no positions"
        )
    check_whole_number(f"KeyedLoader(batch_size={batch_size!r})", batch_size, 1)
    check_whole_number(f"KeyedLoader(seed={seed!r})", seed)
    if "generator" in options:
        raise TypeError("KeyedLoader(generator=…): order and randomness come from seed=")


def check_samplers(
    sampler: Any, batch_sampler: Any, batch_size: int, shuffle: bool, drop_last: bool
) -> None:
    """Refuse several arguments that choose the same.

    Raises:
        TypeError, ValueError: says what is allowed.
    """
    check_no_class("KeyedLoader(sampler=…)", sampler)
    check_no_class("KeyedLoader(batch_sampler=…)", batch_sampler)
    if sampler is not None and shuffle:
        raise ValueError("KeyedLoader(sampler=…, shuffle=True): the sampler chooses the order")
    others = sampler is not None or batch_size != 1 or shuffle or drop_last
    if batch_sampler is not None and others:
        raise ValueError(
            "KeyedLoader(batch_sampler=…): it chooses the batches; allowed beside it: none of "
            "batch_size, shuffle, sampler, drop_last"
        )


def usable_device(device: Any) -> torch.device | None:
    """The device of `device=`, on which a tensor could be made; None for None.

    Raises:
        ValueError: there is no such device here.
    """
    if device is None:
        return None
    try:
        return torch.empty(0, device=device).device
    except TypeError:  # whose message lists what torch.empty takes
        found = f"a {type(device).__name__}"
    except (RuntimeError, AssertionError) as error:
        found = str(error)
    raise ValueError(
        f"KeyedLoader(device={device!r}): {found}; allowed: a device of this machine, "
        "such as 'cpu' or 'cuda'"
    )
