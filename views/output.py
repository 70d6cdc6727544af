"""The directory that `--out` names."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .errors import UsageError


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
