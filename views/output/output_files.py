"""What `--out` names, and how files get there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from .usage_error import UsageError


def writable(name: str) -> Path:
    """The directory called `name`, made if it is not there, and tried out.

    Raises:
        UsageError: nothing can be written there.
    """
    directory = Path(name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return directory
    except OSError as error:
        raise UsageError(f"cannot write to --out {name}: {error.strerror}") from None


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """All of a file or nothing: an error in between leaves the one that was there."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
