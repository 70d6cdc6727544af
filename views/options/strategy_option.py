"""The option `--strategy NAME`: train in the processes that torchrun has started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...events.utils.exception_text import first_message_line
from ..output.usage_error import UsageError
from .parser import Parser

if TYPE_CHECKING:
    from ...engine import Trainer


def add_strategy_option(command: Parser) -> None:
    """Add `--strategy NAME`."""
    command.add_argument(
        "--strategy",
        choices=("ddp", "fsdp2"),
        help="train in all processes of `torchrun --nproc-per-node 2 -m trackside fit ...`; ddp: "
        "each has the whole model; fsdp2: each has a shard of it",
    )


def device_of_rank(name: str | None, strategy: str | None) -> str | None:
    """The device of this process: with a strategy, `cuda` is the GPU of its local rank."""
    if strategy is not None and name == "cuda":
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return name


def is_first_rank(strategy: str | None) -> bool:
    """Whether this process prints: alone, or the first one that torchrun has started."""
    return strategy is None or os.environ.get("RANK", "0") == "0"


def attach_strategy(trainer: Trainer, strategy: str) -> None:
    """Attach Distributed.

    Raises:
        UsageError: torchrun has not started this process, or the job cannot be distributed.
    """
    if "RANK" not in os.environ:
        raise UsageError(
            f"--strategy {strategy}: torchrun has not started this process; start it with torchrun "
            f"--nproc-per-node 2 -m trackside fit ..., or leave out --strategy {strategy}"
        )
    from ...events import AttachError
    from ...handlers import Distributed

    try:
        trainer.attach(Distributed("ddp" if strategy == "ddp" else "fsdp2"))
    except AttachError as error:
        raise UsageError(f"--strategy {strategy}: {first_message_line(error)}") from None
