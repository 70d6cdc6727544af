"""Whether a fit of yours goes on, wherever it is stopped, as if nothing had happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from ..output.usage_error import UsageError

WHOLE = "whole.json"
"""Where a worker writes what came of the fit that nothing stops."""

MEASURED = ("peak_memory", "TimeLimit: passed")
"""What differs from process to process, as it should."""


class Difference(NamedTuple):
    """Where a fit that went on was first seen to be another one than the fit that went through."""

    stopped: str
    """The boundary at which it was stopped, `fit.epoch.train.fetch of epoch 0, after 3 batches`."""
    name: str
    """What differs: `handler EMA: averaged of layer2.weight`; or the error that was raised."""
    where: str
    """How far it had got; `at once`: what was loaded is not what was saved."""

    def __str__(self) -> str:
        return f"stopped in {self.stopped}: {self.name} differs, {self.where}"


class Verification(NamedTuple):
    """What `verify_resume` found."""

    boundaries: int
    """At so many the fit was stopped."""
    differences: tuple[Difference, ...]
    """The first one of each boundary at which there is one."""
    warnings: tuple[str, ...]
    """Of the fit that was not stopped; such as that of a handler that cannot save what it keeps."""

    def __str__(self) -> str:
        count = len(self.differences)
        told = f"{count} of {self.boundaries} resumed fits differ from the one that was not stopped"
        if not count:
            told = f"{self.boundaries} resumed fits equal the one that was not stopped, bit for bit"
        return "\n".join([told, *map(str, self.differences), *self.warnings])


def verify_resume(
    factory: Callable[..., Any] | str,
    epochs: int = 2,
    batches: int = 4,
    ignored: Collection[str] = MEASURED,
) -> Verification:
    """Run a short fit; stop it at every boundary, and have it go on in a fresh process each time.

    Signals, and all that the trainer's `state_dict` holds, are compared to the bit from there to
    the end. Each process is forked from one that has imported the factory's module, with
    `OMP_NUM_THREADS=1`, and has run nothing.

    Args:
        factory: makes the Job, as for `trackside fit`: a function at the top of a module or
            script, or where it is, `module:factory` or `path/to/file.py:factory`.
        epochs: of the short fit.
        batches: in each training and each validation, at most.
        ignored: parts of the names of what may differ.

    Raises:
        UsageError: there is no such factory, or it gives no job.
        RuntimeError: the fit itself fails; or the system cannot fork.
    """
    if not hasattr(os, "fork"):
        raise RuntimeError("verify_resume needs os.fork, which this system does not have")
    target = factory if isinstance(factory, str) else _target_of(factory)
    with TemporaryDirectory() as folder:
        _work(target, folder, epochs, batches, ignored)
        return _read(Path(folder))


def result_of(folder: Path, number: int) -> Path:
    """Where it writes what came of going on at a boundary."""
    return folder / f"{number}.json"


def _work(target: str, folder: str, epochs: int, batches: int, ignored: Collection[str]) -> None:
    command = [sys.executable, "-m", f"{__package__}.resume_worker", target, folder]
    done = subprocess.run(
        [*command, str(epochs), str(batches), *ignored],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UsageError(done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}")


def _read(folder: Path) -> Verification:
    whole = json.loads((folder / WHOLE).read_text())
    if "error" in whole:
        raise RuntimeError(f"the fit that nothing stops has failed: {whole['error']}")
    differences = []
    for number, boundary in enumerate(whole["boundaries"]):
        found = json.loads(result_of(folder, number).read_text())
        if "error" in found:
            found = {"difference": found["error"], "where": "raised"}
        if found["difference"]:
            found = Difference(boundary["where"], found["difference"], found["where"])
            differences.append(found)
    return Verification(len(whole["boundaries"]), tuple(differences), tuple(whole["warnings"]))


def _target_of(factory: Callable[..., Any]) -> str:
    """`module:factory`, or the file of a script."""
    module, name = factory.__module__, getattr(factory, "__qualname__", "<object>")
    if not name.isidentifier():
        raise UsageError(
            f"cannot find {name} in another process; expected a function at the top of a file"
        )
    if module != "__main__":
        return f"{module}:{name}"
    file = getattr(sys.modules[module], "__file__", None)
    if file is None:
        raise UsageError(
            f"cannot find {name} in another process: it was typed in; put it in a file"
        )
    return f"{file}:{name}"
