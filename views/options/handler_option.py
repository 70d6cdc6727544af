"""The option `--handler NAME`: attach handlers by their published names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...events import AttachError, OrderError
from ..output.usage_error import UsageError, first_line

if TYPE_CHECKING:
    from ...engine import Trainer


def check_handler_names(names: Sequence[str]) -> None:
    """Check that each name is published, without importing the handlers.

    Raises:
        UsageError: no distribution publishes a name, or several do.
    """
    from ...events.bus.plugins import find_plugin

    with _usage_errors():
        for name in names:
            find_plugin(name)


def attach_handlers(trainer: Trainer, names: Sequence[str]) -> None:
    """Load each handler and attach it.

    Raises:
        UsageError: a handler cannot be imported, created without arguments, or attached.
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
