"""The manifest of a checkpoint: what it is, and what its files hold; written last.

Its checksums tell damage. They are no signature: who can write the folder can make others.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .atomic_directory import Written, hash_file

FORMAT = 1
MANIFEST = "manifest.json"
_LARGEST = 1 << 24
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, or cannot be gone on from; nothing has been changed."""


class DamagedError(CheckpointError):
    """What a checkpoint holds is not what was written; the one before it may be whole."""


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says.

    Attributes:
        step: optimizer updates made.
        serial: 1 for the first checkpoint written into a folder, 2 for the next, and so on: of
            two at the same step, and after a fit went on from an older one, this tells the newer.
        facts: what the writer says about it: epoch, phase, metrics, versions.
        files: size in bytes and SHA-256 of each file by name.
    """

    step: int
    serial: int
    facts: dict[str, Any]
    files: dict[str, Written]

    def text(self) -> bytes:
        """What goes into the file."""
        fields = asdict(self) | {"format": FORMAT}
        fields["files"] = {name: file._asdict() for name, file in self.files.items()}
        return json.dumps(fields | {"sha256": _checksum(fields)}, indent=1).encode()

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """That of a folder; its files are not looked at, see `check`.

        Raises:
            CheckpointError: a newer trackside wrote it.
            DamagedError: it is missing, or not as it was written.
        """
        fields = _fields(folder)
        if fields.pop("sha256", None) != _checksum(fields):
            raise DamagedError(f"{folder}: {MANIFEST} is not as it was written")
        try:
            files = {name: Written(**file) for name, file in fields["files"].items()}
            found = cls(int(fields["step"]), int(fields["serial"]), dict(fields["facts"]), files)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(f"{folder}: {MANIFEST} lacks what it should say: {error}") from None
        for name in found.files:
            if not _NAME.fullmatch(name):
                raise DamagedError(f"{folder}: {MANIFEST} names {name!r}, which is no plain name")
        return found

    def check(self, folder: Path) -> None:
        """Read all files, and compare.

        Raises:
            DamagedError: one is missing, is not a file, or holds something else.
        """
        for name, written in self.files.items():
            size = _size(folder / name)
            if size != written.size:
                raise DamagedError(
                    f"{folder}: {name} has {size} bytes; {written.size} were written"
                )
            if _read(folder / name, hash_file) != written:
                raise DamagedError(f"{folder}: {name} is not as it was written: SHA-256 differs")


def _fields(folder: Path) -> dict[str, Any]:
    if _size(folder / MANIFEST) > _LARGEST:
        raise DamagedError(f"{folder}: {MANIFEST} has more than {_LARGEST} bytes")
    try:
        fields = json.loads(_read(folder / MANIFEST, Path.read_bytes))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{folder}: {MANIFEST} is not JSON: {error}") from None
    if not isinstance(fields, dict) or type(fields.get("format")) is not int:
        raise DamagedError(f"{folder}: {MANIFEST} says no format")
    if fields["format"] > FORMAT:
        raise CheckpointError(
            f"{folder}: a newer trackside wrote it, in format {fields['format']}; this one reads "
            f"formats up to {FORMAT}"
        )
    return fields


def _checksum(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _size(path: Path) -> int:
    found: os.stat_result = _read(path, os.lstat)
    if not stat.S_ISREG(found.st_mode):
        raise DamagedError(f"{path.parent}: {path.name} is not a file")
    return found.st_size


def _read(path: Path, how: Any) -> Any:
    try:
        return how(path)
    except FileNotFoundError:
        raise DamagedError(f"{path.parent}: {path.name} is missing") from None
    except OSError as error:
        raise DamagedError(f"{path.parent}: {path.name} cannot be read: {error}") from None
