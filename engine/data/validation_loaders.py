"""One loader for validation, or several by name: which one is read, and which comes next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...events import TrainState

ONLY = "valid"
"""The name of the validation of a loader without a name."""


def by_name(loader: Any) -> dict[str, Any]:
    """The loaders by name; empty without one."""
    if loader is None:
        return {}
    return dict(loader) if isinstance(loader, Mapping) else {ONLY: loader}


def current_loader(state: TrainState) -> Iterable[Any] | None:
    """The loader of the evaluation that runs; None if a handler has taken it away."""
    loader = state.valid_loader
    return loader.get(state.evaluation) if isinstance(loader, Mapping) else loader


def argument_name(loader: Any, name: str) -> str:
    """How the user passed the loader of a name: `valid_loader`, or `valid_loader['easy']`."""
    return f"valid_loader[{name!r}]" if isinstance(loader, Mapping) else "valid_loader"


def described(state: TrainState) -> str:
    """How the user passed the loader of the evaluation that runs, in a fit or alone."""
    if state.job != "fit":
        return "loader"
    return argument_name(state.valid_loader, state.evaluation)


def next_name(state: TrainState) -> str | None:
    """The name of the validation after the current one; None after the last."""
    names = list(by_name(state.valid_loader))
    place = names.index(state.evaluation) + 1 if state.evaluation in names else len(names)
    return names[place] if place < len(names) else None


def check_evaluation_name(tried: str, name: Any) -> None:
    """Refuse what cannot be the first part of the name of a metric.

    Raises:
        TypeError, ValueError: says what is allowed.
    """
    if not isinstance(name, str):
        raise TypeError(f"{tried}: the name {name!r} is a {type(name).__name__}; allowed: a str")
    if not name or name == "train":
        raise ValueError(f"{tried}: the name {name!r}; allowed: any other, such as 'test'")
