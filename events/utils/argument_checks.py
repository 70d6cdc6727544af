"""Checks of arguments, shared by engine and handlers."""

from __future__ import annotations

from typing import Any


def check_no_class(tried: str, value: Any) -> None:
    """Refuse a class where an instance of it is needed.

    Args:
        tried: the argument as the message shows it, `Trainer(loss_fn=MSELoss)`.

    Raises:
        TypeError: what was tried, and what was probably forgotten.
    """
    if isinstance(value, type):
        raise TypeError(f"{tried}: {value.__name__} is a class; did you forget ()?")


def check_whole_number(tried: str, value: Any, least: int | None = None) -> None:
    """Refuse a value that is not an int, or is below `least`.

    Args:
        tried: the call as the message shows it, `StepLimit(steps=0)`.

    Raises:
        TypeError, ValueError: what was tried, and what is allowed.
    """
    allowed = "an int" if least is None else f"an int, from {least}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{tried}: found a {type(value).__name__}; allowed: {allowed}")
    if least is not None and value < least:
        raise ValueError(f"{tried}: allowed: {allowed}")
