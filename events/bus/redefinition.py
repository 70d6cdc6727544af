"""Functions that a cell of a notebook defines anew when it runs again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from .attachment import Attachment


def drop_redefined(
    new: Callable[..., Any], name: str, attached: Iterable[tuple[Any, Attachment]]
) -> None:
    """Unsubscribe from the signal or scope `name` what `new` takes the place of."""
    for subscribed, attachment in tuple(attached):
        if is_redefinition(new, subscribed):
            attachment.remove_all(name)


def is_redefinition(new: Callable[..., Any], old: Any) -> bool:
    """Whether an interactive session has defined `old` again, as `new`.

    Both are at the top level of the session, with one name. Functions that are made by one run of
    a statement, as in a loop, are several; so are those with no name of their own (`_`, a lambda),
    unless their code is the same.
    """
    if not (_is_interactive(new) and _is_interactive(old)) or new is old:
        return False
    if new.__qualname__ != old.__qualname__ or new.__code__ is old.__code__:
        return False
    return bool(new.__name__ not in ("_", "<lambda>") or new.__code__ == old.__code__)


def _is_interactive(function: Any) -> bool:
    """Whether it is defined at the top level of a notebook or a prompt, which are no file."""
    if not isinstance(function, FunctionType) or "<locals>" in function.__qualname__:
        return False
    namespace = function.__globals__
    return namespace.get("__name__") == "__main__" and "__file__" not in namespace
