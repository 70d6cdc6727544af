"""Runs inside a contender's environment: `worker.py NAME SETTING WORK`; `peers.py` starts it.
With the setting `import`, WORK is a module, which is only imported.

Each input line requests a round, that is one fit; its times are written as a line of JSON. At the
end of the input the worker reports a digest of the weights and the peak memory of the process. The
contender's own output is redirected to stderr, a terminal that nobody reads.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import warnings
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch import nn


def imported(module: str) -> tuple[Any, float]:
    """Import a module after torch; return it and the CPU seconds that it took."""
    start = process_time()
    found = importlib.import_module(module)
    return found, process_time() - start


def digest(model: nn.Module) -> str:
    """A hash of the parameters: equal for models that are equal bit for bit."""
    found = hashlib.sha256()
    for parameter in model.parameters():
        found.update(parameter.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def peak_megabytes() -> float:
    """Peak memory of this process; `getrusage` may return that of the parent instead."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main(name: str, setting: str, work_name: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)

    def answer(**said: Any) -> None:
        print(json.dumps(said), file=answers, flush=True)

    if setting == "import":
        answer(import_ms=imported(work_name)[1] * 1e3)
        return
    peer, _ = imported(f"peers.{name}")
    from job import Bare, Job, Paired  # noqa: PLC0415
    from works import WORKS  # noqa: PLC0415

    work = WORKS[work_name]
    torch.manual_seed(1)
    data = work.batches(work.stretch * work.stretches)
    end: dict[str, Any] = {}
    for _ in sys.stdin:
        batches = Paired(data, work.stretch, Bare(work))
        job = Job(work, batches)
        trained = getattr(peer, setting)(job) or job.model
        answer(pairs=batches.us_a_batch)
        end = {"weights": digest(trained), "callbacks": [job.begun, job.ended]}
    answer(peak_mb=peak_megabytes(), **end)


if __name__ == "__main__":
    main(*sys.argv[1:])
