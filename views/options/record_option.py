"""The option `--record FILE`: attach a Recorder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..output.usage_error import UsageError
from .parser import Parser

if TYPE_CHECKING:
    from ...engine import Trainer


_SCALARS = 20  # batches between two scalars, so that short fits have curves


def add_record_option(command: Parser) -> None:
    """Add `--record FILE`."""
    command.add_argument(
        "--record",
        metavar="FILE",
        help="record every transition and handler call to FILE, such as runs/run.loop",
    )


def attach_recorder(trainer: Trainer, path: str | Path) -> None:
    """Record the trainer to `path`, with the time of each handler call.

    Raises:
        UsageError: the file cannot be created.
    """
    from ...handlers import Recorder

    try:
        trainer.attach(Recorder(path, timing=True, scalars=_SCALARS))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot record to {path}: {error}") from None
