"""The option `--precision NAME`: attach MixedPrecision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...events.utils.exception_text import first_message_line
from ..output.usage_error import UsageError
from .parser import Parser

if TYPE_CHECKING:
    from ...engine import Trainer

PRECISIONS = ("bf16", "fp16")


def add_precision_option(command: Parser) -> None:
    """Add `--precision NAME`."""
    command.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="run the model and the loss in bfloat16, or in float16 with a scaled loss; default: "
        "the precision of the job",
    )


def attach_precision(trainer: Trainer, precision: str) -> None:
    """Attach MixedPrecision.

    Raises:
        UsageError: the job has one already, or cannot be trained so.
    """
    import torch

    from ...events import AttachError
    from ...handlers import MixedPrecision

    if any(isinstance(handler, MixedPrecision) for handler in trainer.handlers):
        raise UsageError(f"--precision {precision}: the job has a MixedPrecision already")
    try:
        trainer.attach(MixedPrecision(torch.bfloat16 if precision == "bf16" else torch.float16))
    except (AttachError, TypeError, ValueError) as error:
        raise UsageError(f"--precision {precision}: {first_message_line(error)}") from None
