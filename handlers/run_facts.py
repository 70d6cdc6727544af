"""The facts of a run, by the names under which recordings, checkpoints, logs and studies keep them.

factory     the function that made the trainer, `module:function`; None if it is not known
arguments   what that was called with, by name
seed        of the fit; None: not seeded
versions    of python, trackside, torch, and of numpy and cuda where they are used
git         `commit`, and whether tracked files differ from it, `dirty`; None without a repository
command     the command line, a list
machine     `host`, `system`, `processors`, `devices`

They contain no environment variables. What follows a name such as `--api-key` or `hf_token`, and
what looks like a key, is replaced by `***`.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch

from ..events import TrainState
from ..events.utils.hidden_secrets import hidden_command, plain

_GIT_SECONDS = 5


def run_facts(state: TrainState) -> dict[str, Any]:
    """The facts of the run, as JSON; those of the process are collected once.

    Cost: two processes of git, some milliseconds, at the first call in a process.
    """
    return {
        "factory": state.facts.get("factory"),
        "arguments": plain(state.facts.get("arguments", {})),
        "seed": state.seed,
        **_process_facts(tuple(sys.orig_argv), "numpy" in sys.modules, _uses_cuda()),
    }


@lru_cache(maxsize=1)
def _process_facts(command: tuple[str, ...], uses_numpy: bool, uses_cuda: bool) -> dict[str, Any]:
    """Those of the process; collected anew when one of the arguments has changed."""
    return {
        "versions": _versions(uses_numpy, uses_cuda),
        "git": _git(),
        "command": hidden_command([*command]),
        "machine": _machine(uses_cuda),
    }


def _versions(uses_numpy: bool, uses_cuda: bool) -> dict[str, str]:
    root = sys.modules[__name__.partition(".")[0]]  # `trackside`, from wherever it is imported
    versions = {
        "python": platform.python_version(),
        "trackside": str(getattr(root, "__version__", "")),
        "torch": str(torch.__version__),
    }
    if uses_numpy:
        versions["numpy"] = sys.modules["numpy"].__version__
    if torch.version.cuda is not None and uses_cuda:
        versions["cuda"] = torch.version.cuda
    return versions


def _machine(uses_cuda: bool) -> dict[str, Any]:
    count = torch.cuda.device_count() if uses_cuda else 0
    devices = [torch.cuda.get_device_name(number) for number in range(count)]
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "devices": devices,
    }


def _uses_cuda() -> bool:
    """Whether CUDA is initialized; to ask an unused device for its name would do that."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


@cache
def _git() -> dict[str, Any] | None:
    """The commit of the program: of the folder of its script, or the current one."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    path = None if script is None else Path(script).resolve()
    is_installed = path is None or path.is_relative_to(sys.prefix)
    folder = Path.cwd() if path is None or is_installed else path.parent
    commit = _git_output(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _git_output(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git_output(folder: Path, *command: str) -> str | None:
    """What git prints; None if it cannot tell. It writes nothing, and runs no hook."""
    options = ["--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder)]
    try:
        done = subprocess.run(
            ["git", *options, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
