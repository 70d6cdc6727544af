"""Create the folder for output files, and write files atomically."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from .usage_error import UsageError


def create_output_folder(name: str) -> Path:
    """Create the folder of `--out`, if needed, and check that it is writable.

    Raises:
        UsageError: the folder cannot be created, or is not writable.
    """
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UsageError(f"cannot write to --out {name}: {error.strerror}") from None


def is_stream(path: Path) -> bool:
    """Whether it is a device or a pipe; so is /dev/stdout where it is a file."""
    is_device = Path("/dev") in path.absolute().parents
    return is_device or (path.exists() and not path.is_file() and not path.is_dir())


def print_written(path: Path) -> None:
    """Print which file was written; nothing of a stream, which may be what is printed to."""
    if not is_stream(path):
        print(f"wrote {path}")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` write a temporary file, then replace `path`; on an error `path` is unchanged.

    What `is_stream` is written to, and not replaced.
    """
    if is_stream(path) or path.is_dir():
        write(path)
        return
    temporary = path.with_name(f".{path.name}.part")
    try:
        write(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
