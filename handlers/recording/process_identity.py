"""Who a process is, so that another one can tell later whether it still runs."""

from __future__ import annotations

import os
from pathlib import Path


def start_time(pid: int) -> int | None:
    """When a process began: clock ticks after the boot of this machine.

    None: it does not run, or what is left of it is a zombie. 0: it runs, and this system does not
    say since when.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _alive(pid)
    state, *rest = stat.rpartition(")")[2].split()  # a name may have spaces and brackets
    return None if state in "ZXx" else int(rest[18])


def boot() -> str:
    """Names the boot of this machine; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """Where process ids mean what they mean here: containers have namespaces of their own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _alive(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0
