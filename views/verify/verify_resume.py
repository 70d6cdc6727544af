"""Verify that a fit, stopped at any boundary, resumes exactly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from ..jobs.import_target import target_of
from ..output.usage_error import UsageError

BASELINE = "baseline.json"
"""The file for the result of the uninterrupted fit."""

DIFFERENCE = "difference.json"
"""The file for the first difference of the journals of a resumed fit and the uninterrupted one."""

MEASURED = ("peak_memory", "TimeLimit: passed", "position: pictures of ")
"""Parts of the state that are measured, so they differ between processes; and the pictures of an
evaluation, which shows the examples that came after it was resumed."""


class ResumeDifference(NamedTuple):
    """The first difference between a resumed fit and the uninterrupted one."""

    stopped: str
    """The boundary it was resumed from, `fit.epoch.train.fetch of epoch 1, after 3 batches`."""
    name: str
    """The part that differs, `handler EMA: averaged of layer2.weight`; or the error raised."""
    where: str
    """Where the difference appeared; `at once`: the restored state is not the saved state."""

    def __str__(self) -> str:
        return f"stopped in {self.stopped}: {self.name} differs, {self.where}"


class Verification(NamedTuple):
    """The result of `verify_resume`."""

    boundaries: int
    """The number of boundaries at which the fit was stopped and resumed."""
    differences: tuple[ResumeDifference, ...]
    """For each boundary with differences, the first one."""
    warnings: tuple[str, ...]
    """Warnings of the uninterrupted fit, for example of a handler that cannot save its state."""
    first: str = ""
    """Where the first of these resumed fits begins to differ, and who wrote what differs: the first
    difference of their journals. Empty if batches, predictions and losses are equal."""

    def __str__(self) -> str:
        count = len(self.differences)
        summary = f"{count} of {self.boundaries} resumed fits differ from the uninterrupted one"
        if not count:
            equal = "fit equals" if self.boundaries == 1 else "fits equal"
            summary = f"{self.boundaries} resumed {equal} the uninterrupted one, bit for bit"
        first = [f"first difference (A: uninterrupted, B: resumed) at {self.first}"]
        lines = [summary, *map(str, self.differences), *(first if self.first else ())]
        return "\n".join([*lines, *self.warnings])


def verify_resume(
    factory: Callable[..., Any] | str,
    epochs: int = 2,
    batches: int = 4,
    ignored: Collection[str] = MEASURED,
) -> Verification:
    """Run a short fit, and resume it from every boundary, each time in a fresh process.

    From the boundary to the end, the signals and the trainer's `state_dict` are compared with the
    uninterrupted fit, bit for bit. Each process is forked from one that has imported the module of
    the factory, with `OMP_NUM_THREADS=1`, and has run no fit.

    Args:
        factory: returns the Job, as for `trackside fit`: a top-level function of a module or
            script, or its target, `module:factory` or `path/to/file.py:factory`.
        epochs: of the short fit.
        batches: at most, in each training pass and each validation.
        ignored: substrings of the names of parts that may differ.

    Raises:
        UsageError: the factory does not exist, or does not return a Job.
        RuntimeError: the uninterrupted fit fails, or the system cannot fork.
    """
    from ..jobs.named_job import request_of_target  # imports torch

    target = factory if isinstance(factory, str) else target_of(factory)
    return verify_request(request_of_target(target), epochs, batches, ignored)


def verify_request(
    request: str, epochs: int, batches: int, ignored: Collection[str] = MEASURED
) -> Verification:
    """The same for a job with the arguments of a command line, as `request_of` writes it.

    Raises: as `verify_resume`.
    """
    if not hasattr(os, "fork"):
        raise RuntimeError("verify_resume needs os.fork, which this system does not have")
    with TemporaryDirectory() as folder:
        _run_worker(request, folder, epochs, batches, ignored)
        return _read_results(Path(folder))


def result_path(folder: Path, number: int) -> Path:
    """The file for the result of the fit that is resumed from a boundary, by number from 0."""
    return folder / f"{number}.json"


def _run_worker(
    request: str, folder: str, epochs: int, batches: int, ignored: Collection[str]
) -> None:
    command = [sys.executable, "-m", f"{__package__}.resume_worker", folder]
    process = subprocess.run(
        [*command, str(epochs), str(batches), *ignored],
        # the facts that handlers write have this command, its secrets hidden, and not the worker's
        input=json.dumps([request, sys.orig_argv]),
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise UsageError(
            process.stderr.strip().rpartition("\n")[2] or f"exit code {process.returncode}"
        )


def _read_results(folder: Path) -> Verification:
    baseline = json.loads((folder / BASELINE).read_text())
    if "error" in baseline:
        raise RuntimeError(f"the uninterrupted fit failed: {baseline['error']}")
    differences = []
    for number, boundary in enumerate(baseline["boundaries"]):
        result = json.loads(result_path(folder, number).read_text())
        if "error" in result:
            result = {"difference": result["error"], "where": "raised"}
        if result["difference"]:
            differences.append(
                ResumeDifference(boundary["where"], result["difference"], result["where"])
            )
    path = folder / DIFFERENCE
    first = json.loads(path.read_text()).get("first", "") if path.exists() else ""
    count, warnings = len(baseline["boundaries"]), tuple(baseline["warnings"])
    return Verification(count, tuple(differences), warnings, first)
