"""Create the folder for output files, and write files atomically."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .standard_output import OutputError
from .usage_error import UsageError

_OPEN_FILES = ("/dev/fd/", "/proc/self/fd/")
_STANDARD_OUTPUT = ("/dev/stdout", *(f"{folder}1" for folder in _OPEN_FILES))


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
    """Whether it is a device, a pipe or an open file by its number, as /dev/stdout."""
    name = str(path.absolute())
    if name in ("/dev/stdout", "/dev/stderr") or name.startswith(_OPEN_FILES):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def print_written(path: Path) -> None:
    """Print which file was written; nothing of a stream, which may be what is printed to."""
    if not is_stream(path):
        print(f"wrote {path}")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` write a temporary file, then replace `path`; on an error `path` is unchanged.

    What `is_stream` is written to, and not replaced.

    Raises:
        OutputError: it is standard output, which cannot be written.
    """
    if str(path.absolute()) in _STANDARD_OUTPUT:
        _write_to_standard_output(write)
        return
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


def _write_to_standard_output(write: Callable[[Path], object]) -> None:
    """Append to it: opened by its name, a file would be emptied, and written from its begin."""
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "part")
        write(part)
        content = part.read_bytes()
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        with open(os.dup(1), "wb") as output:
            output.write(content)
    except OSError as error:
        raise OutputError(f"cannot write the output: {error.strerror}") from None
