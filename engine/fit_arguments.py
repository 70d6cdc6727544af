"""Checks of what a run is asked to do, before anything is published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from .data.loader_traits import is_one_pass


def asked_for(
    epochs: int | None, batches_per_epoch: int | None, saved: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a fit is to do, as fields of the TrainState; what is not said is as it was saved."""
    before = {"n_epochs": 1, "batches_per_epoch": None}
    if saved is not None:
        before = saved["position"]["asked"]
    given = {"n_epochs": epochs, "batches_per_epoch": batches_per_epoch}
    return {name: before[name] if value is None else value for name, value in given.items()}


def check_fit(
    train_loader: Iterable[Any],
    valid_loader: Iterable[Any] | None,
    epochs: int,
    batches_per_epoch: int | None,
) -> None:
    """Refuse a fit that cannot be made as it is asked for.

    Raises:
        TypeError, ValueError: names the argument.
    """
    check_count("epochs", epochs, least=0)
    if batches_per_epoch is not None:
        check_count("batches_per_epoch", batches_per_epoch, least=1)
    check_loader("train_loader", train_loader)
    if valid_loader is not None:
        check_loader("valid_loader", valid_loader)
    if epochs > 1:
        check_rereadable(train_loader, valid_loader, epochs, batches_per_epoch)


def check_count(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number from `least`.

    Raises:
        TypeError, ValueError: says what was given, and what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"{name}={value!r} is a {type(value).__name__}; allowed: an int, from {least}"
        )
    if value < least:
        raise ValueError(f"{name}={value}; allowed: an int, from {least}")


def check_loader(name: str, loader: Any) -> None:
    """Refuse what cannot be iterated over, and what is one batch.

    Raises:
        TypeError: says what was given, and what is expected.
    """
    if loader is None or not (hasattr(loader, "__iter__") or hasattr(loader, "__getitem__")):
        raise TypeError(
            f"{name} is a {type(loader).__name__}; expected something to iterate over, "
            "such as a torch DataLoader or a list of batches"
        )
    if isinstance(loader, (torch.Tensor, str, bytes, Mapping)):
        raise TypeError(
            f"{name} is a {type(loader).__name__}, which is one batch at the most; expected "
            "something that gives batches, such as a torch DataLoader or a list of batches"
        )


def check_rereadable(
    train_loader: Iterable[Any],
    valid_loader: Iterable[Any] | None,
    epochs: int,
    batches_per_epoch: int | None,
) -> None:
    """Refuse iterators, which can be read once, where several epochs would read them.

    Raises:
        ValueError: names the loader.
    """
    for name, loader in (("train_loader", train_loader), ("valid_loader", valid_loader)):
        goes_on = name == "train_loader" and batches_per_epoch is not None
        if loader is not None and is_one_pass(loader) and not goes_on:
            raise ValueError(
                f"{name} is a {type(loader).__name__}: an iterator can be read once, so it serves "
                f"one epoch, and epochs={epochs}; pass something that can be iterated again"
                + (", or batches_per_epoch=" if name == "train_loader" else "")
            )
