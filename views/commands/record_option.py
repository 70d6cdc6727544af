"""`--record FILE`: the flight recorder, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..output.usage_error import UsageError
from .parser import Parser

if TYPE_CHECKING:
    from ...engine import Trainer


_SCALARS = 20  # batches: short fits have curves, too


def add_record(command: Parser) -> None:
    """Add `--record FILE`."""
    command.add_argument(
        "--record",
        metavar="FILE",
        help="record every transition and handler call there, such as runs/run.loop",
    )


def attach_recorder(trainer: Trainer, path: str | Path) -> None:
    """Record what `trainer` does from here on, with the time of each handler.

    Raises:
        UsageError: no file can be made there.
    """
    from ...handlers import Recorder

    try:
        trainer.attach(Recorder(path, timing=True, scalars=_SCALARS))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot record to {path}: {error}") from None
