"""What the recorded process uses of the machine now: processors, memory, the GPU."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ...handlers.recording import process_identity
from ..recordings.records import Meta


class ProcessLoad:
    """Samples one process, if it runs on this machine and psutil is installed.

    With nvidia-ml-py, also the GPUs on which the process has memory.
    """

    def __init__(self, meta: Meta) -> None:
        self._process = _process(meta)
        self._pid = meta.pid

    def sample(self) -> dict[str, float]:
        """`processors` busy since the sample before, `memory` in bytes, `gpu` (busy, of 1) and
        `gpu_memory` in bytes; without what is not known. Cost: some system calls."""
        if self._process is None:
            return {}
        try:
            used = {
                "processors": self._process.cpu_percent() / 100,
                "memory": float(self._process.memory_info().rss),
            }
        except Exception:  # it has ended
            self._process = None
            return {}
        return used | _gpu_load(self._pid)


def _process(meta: Meta) -> Any:
    try:
        import psutil
    except ImportError:
        return None
    is_here = (
        meta.boot == process_identity.boot()
        and meta.namespace == process_identity.pid_namespace()
        and process_identity.start_time(meta.pid) == meta.started
    )
    with suppress(psutil.Error):
        process = psutil.Process(meta.pid) if is_here else None
        if process is not None:
            process.cpu_percent()  # the first one is always 0
        return process
    return None


def _gpu_load(pid: int) -> dict[str, float]:
    """Of the GPUs that the process uses: the busiest one, and its memory on all."""
    busy, memory = [], 0.0
    with suppress(Exception):  # there is no pynvml, no driver, no GPU
        import pynvml

        pynvml.nvmlInit()
        for number in range(pynvml.nvmlDeviceGetCount()):
            device = pynvml.nvmlDeviceGetHandleByIndex(number)
            for process in pynvml.nvmlDeviceGetComputeRunningProcesses(device):
                if process.pid == pid:
                    busy.append(pynvml.nvmlDeviceGetUtilizationRates(device).gpu / 100)
                    memory += process.usedGpuMemory or 0
    return {"gpu": max(busy), "gpu_memory": memory} if busy else {}
