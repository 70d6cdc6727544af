"""What a recording says of its run: who records it, where, and by which chart."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any

from ...events import TrainerProtocol
from . import process_identity as process


def meta_of(trainer: TrainerProtocol, name: str, timing: bool | str) -> dict[str, Any]:
    """The meta data of a recording that this process begins now.

    Args:
        name: of the run, where the trainer has none.
    """
    rank, world = _rank()
    return {
        "name": name,
        "host": socket.gethostname(),
        "boot": process.boot(),
        "namespace": process.pid_namespace(),
        "pid": os.getpid(),
        "started": process.start_time(os.getpid()),
        "rank": rank,
        "world": world,
        "wall_ns": time_ns(),
        "monotonic_ns": monotonic_ns(),
        "timing": bool(timing),
        "rows": [list(row) for row in trainer.topology.rows],
    }


def own_path(path: Path) -> Path:
    """The file of this process; of several that train together each has one of its own."""
    rank, world = _rank()
    return path if world == 1 else path.with_name(f"{path.stem}.rank{rank}{path.suffix}")


def _rank() -> tuple[int, int]:
    """This process among those that train together, by the variables that launchers set."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
