"""Handlers that the command line names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...events import AttachError, OrderError
from ..output.usage_error import UsageError, first_line

if TYPE_CHECKING:
    from ...engine import Trainer


def check_published(names: Sequence[str]) -> None:
    """Look up what is to be attached later, and load none of it.

    Raises:
        UsageError: one is published by nobody, or by several.
    """
    from ...events.plugins import find

    with _usage_errors():
        for name in names:
            find(name)


def attach_published(trainer: Trainer, names: Sequence[str]) -> None:
    """Load and attach each.

    Raises:
        UsageError: one cannot be loaded, made without arguments, or attached.
    """
    with _usage_errors():
        for name in names:
            trainer.attach(name)


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except (AttachError, OrderError) as error:
        raise UsageError(f"--handler: {first_line(error)}") from None
