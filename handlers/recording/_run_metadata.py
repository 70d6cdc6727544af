"""Describe the run in its recording: the process, the host, the clocks, the chart."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import Any

import torch.distributed as dist

from ...events import TrainerProtocol
from . import process_identity as process


def run_metadata(trainer: TrainerProtocol, name: str, timing: bool | str) -> dict[str, Any]:
    """The metadata of a recording that this process begins now.

    Args:
        name: the name of the run.
    """
    rank, world = _rank_and_world_size()
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
        "round": _round(trainer.topology.roles),
    }


def _round(roles: Mapping[str, str]) -> str:
    """The scope that a run repeats: its rounds, or its passes; empty if it has neither."""
    by_role = {role: name for name, role in reversed([*roles.items()])}
    return by_role.get("round") or by_role.get("pass", "")


def rank_path(path: Path) -> Path:
    """The file of this process: `path`, or one with the rank in its name if there are several."""
    rank, world = _rank_and_world_size()
    return path if world == 1 else path.with_name(f"{path.stem}.rank{rank}{path.suffix}")


def _rank_and_world_size() -> tuple[int, int]:
    """Those of the process group, or as set by launchers such as torchrun in the environment."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
