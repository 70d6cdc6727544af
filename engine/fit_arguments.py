"""Checks of the arguments of a run, before any signal is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..events.utils.argument_checks import check_no_class, check_whole_number
from .data.loader_traits import is_dataset, is_one_pass
from .data.validation_loaders import argument_name, by_name, check_evaluation_name
from .fit_state.seeding import check_seed


def fit_limits(
    epochs: int | None,
    batches_per_epoch: int | None,
    seed: int | None,
    saved: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Arguments of a fit as fields of the TrainState; None stands for the saved or default one.

    Raises:
        TypeError, ValueError: the seed is none, or is not that of the fit that is resumed.
    """
    if seed is not None:
        check_seed(f"fit(seed={seed!r})", seed)
    defaults = {"n_epochs": 1, "batches_per_epoch": None, "seed": None}
    if saved is not None:
        defaults |= saved["position"]["asked"]
        _check_same_seed(seed, defaults["seed"])
    given = {"n_epochs": epochs, "batches_per_epoch": batches_per_epoch, "seed": seed}
    return {name: defaults[name] if value is None else value for name, value in given.items()}


def _check_same_seed(seed: int | None, saved: int | None) -> None:
    if seed not in (None, saved):
        begun = "without a seed" if saved is None else f"with seed {saved}"
        raise ValueError(
            f"fit(seed={seed}, resume=…): the fit was begun {begun}, and is not seeded again; "
            f"allowed: {'no seed' if saved is None else f'seed={saved}, or none'}"
        )


def check_fit(
    train_loader: Iterable[Any] | None,
    valid_loader: Iterable[Any] | None,
    limits: Mapping[str, Any],
    *,
    reader: str | None,
) -> None:
    """Refuse the arguments of a fit that cannot run.

    Args:
        limits: those of `fit_limits`.
        reader: the phase that reads the train_loader; None: no phase of the chart does.

    Raises:
        TypeError, ValueError: names the argument.
    """
    epochs, batches_per_epoch = limits["n_epochs"], limits["batches_per_epoch"]
    check_whole_number(f"fit(epochs={epochs!r})", epochs, least=0)
    if batches_per_epoch is not None:
        tried = f"fit(batches_per_epoch={batches_per_epoch!r})"
        check_whole_number(tried, batches_per_epoch, least=1)
    if train_loader is None and reader is not None:
        raise TypeError(
            f"fit() needs a train_loader: the chart reads one in {reader}; expected something to "
            "iterate over, such as a torch DataLoader or a list of batches"
        )
    if train_loader is not None:
        check_loader("train_loader", train_loader)
    if isinstance(valid_loader, Mapping):
        if not valid_loader:
            raise ValueError(
                "fit(valid_loader={}): found no loader in it; allowed: one or more by name, or "
                "None for no validation"
            )
        for name in valid_loader:
            check_evaluation_name("fit(valid_loader={…})", name)
    for described, loader in _validation_loaders(valid_loader):
        check_loader(described, loader)
    if epochs > 1:
        check_rereadable(train_loader, valid_loader, epochs, batches_per_epoch)


def check_loader(name: str, loader: Any) -> None:
    """Refuse a loader that cannot be iterated over, or that is a single batch.

    Raises:
        TypeError: names the argument, its type, and what is expected.
    """
    check_no_class(name, loader)
    if loader is None or not (hasattr(loader, "__iter__") or hasattr(loader, "__getitem__")):
        raise TypeError(
            f"{name} is a {type(loader).__name__}; expected something to iterate over, "
            "such as a torch DataLoader or a list of batches"
        )
    if isinstance(loader, (torch.Tensor, str, bytes, Mapping)):
        raise TypeError(
            f"{name} is a {type(loader).__name__}, which is one batch at the most; expected "
            "something that yields batches, such as a torch DataLoader or a list of batches"
        )
    if is_dataset(loader):
        raise TypeError(
            f"{name} is a {type(loader).__name__}, a dataset, which yields single examples; "
            "expected a loader of batches: KeyedLoader(dataset, 32, shuffle=True), or, if its "
            "items are batches, DataLoader(dataset, batch_size=None)"
        )


def check_rereadable(
    train_loader: Iterable[Any] | None,
    valid_loader: Iterable[Any] | None,
    epochs: int,
    batches_per_epoch: int | None,
) -> None:
    """Refuse an iterator, which can be read once, for several epochs.

    Raises:
        ValueError: names the loader.
    """
    loaders = (("train_loader", train_loader), *_validation_loaders(valid_loader))
    for name, loader in loaders:
        continues = name == "train_loader" and batches_per_epoch is not None
        if loader is not None and is_one_pass(loader) and not continues:
            raise ValueError(
                f"{name} is a {type(loader).__name__}: an iterator can be read once, so it serves "
                f"one epoch, and epochs={epochs}; pass something that can be iterated again"
                + (", or batches_per_epoch=" if name == "train_loader" else "")
            )


def _validation_loaders(valid_loader: Any) -> list[tuple[str, Any]]:
    """The loaders, each after how the user passed it."""
    loaders = by_name(valid_loader).items()
    return [(argument_name(valid_loader, name), loader) for name, loader in loaders]
