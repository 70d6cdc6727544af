"""Identify a process, so that another process can check later whether it still runs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def start_time(pid: int) -> int | None:
    """When a process was started, in clock ticks after the boot of this machine.

    None: it does not run, or is a zombie. 0: it runs, and this system does not provide the time.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _alive(pid)
    state, *rest = stat.rpartition(")")[2].split()  # a name may contain spaces and brackets
    return None if state in "ZXx" else int(rest[18])


def boot() -> str:
    """The id of the current boot of this machine; empty if the system provides none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """The namespace of the process ids here: a container has its own; empty if unknown."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _alive(pid: int) -> int | None:
    try:
        with suppress(PermissionError):  # of another user
            os.kill(pid, 0)
    except ProcessLookupError:
        return None
    return 0
