"""The manifest of a checkpoint: its description and its files' checksums; written last.

The checksums detect damage. They are not a signature: whoever can write the folder can forge them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .atomic_directory import FileDigest, hash_file

MANIFEST_FORMAT = 2
MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE, STATE_FILE = "model.safetensors", "state.pt"
SHARD_NAME = re.compile(r"shard-\d{5}\.safetensors")
"""Files of which a rank reads some rows; what they have together may not fit into its memory."""
_MAX_BYTES = 1 << 24
_MAX_STEP = 10**12 - 1
_MAX_NUMBER = 1 << 53
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or resumed from; nothing has been changed."""


class DamagedError(CheckpointError):
    """A checkpoint does not contain what was written; the one before it may be intact."""


class TooLargeError(DamagedError):
    """A checkpoint has more bytes than this machine has memory; it may be whole, or forged."""


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        step: optimizer updates made.
        serial: 1 for the first checkpoint written to a folder, 2 for the next, and so on; the
            newer of two at the same step, or after resuming from an older one, is the higher.
        facts: what the writer records: epoch, phase, metrics, versions.
        files: size in bytes and SHA-256 of each file by name.
    """

    step: int
    serial: int
    facts: dict[str, Any]
    files: dict[str, FileDigest]

    def to_bytes(self) -> bytes:
        """The manifest as JSON, with its own checksum."""
        fields = asdict(self) | {"format": MANIFEST_FORMAT}
        fields["files"] = {name: file._asdict() for name, file in self.files.items()}
        return json.dumps(fields | {"sha256": _checksum(fields)}, indent=1).encode()

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a folder; `check` then compares the files.

        Raises:
            CheckpointError: a newer trackside wrote it.
            DamagedError: it is missing, or was changed after it was written.
        """
        fields = _fields(folder)
        if fields.pop("sha256", None) != _checksum(fields):
            raise DamagedError(f"{folder}: {MANIFEST_FILE} was changed after it was written")
        try:
            return cls(**_checked(fields))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(
                f"{folder}: {MANIFEST_FILE} has missing or wrong fields: {error}"
            ) from None

    def check(self, folder: Path) -> None:
        """Compare the size and checksum of every file with the manifest.

        Raises:
            DamagedError: a file is missing, is not a regular file, or has other content.
            TooLargeError: they are larger than the memory of this machine; they are not hashed.
        """
        at_once = (w.size for name, w in self.files.items() if not SHARD_NAME.fullmatch(name))
        total, memory = sum(at_once), memory_bytes()
        if total > memory:
            raise TooLargeError(
                f"{folder} is too large to be read here: its files have {total} bytes, and this "
                f"machine has a memory of {memory}; nothing else was checked"
            )
        for name, written in self.files.items():
            size = _size(folder / name)
            if size != written.size:
                raise DamagedError(
                    f"{folder}: {name} has {size} bytes; {written.size} were written"
                )
            if _read(folder / name, hash_file) != written:
                raise DamagedError(
                    f"{folder}: {name} was changed after it was written: SHA-256 differs"
                )


def memory_bytes() -> int:
    """The memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _MAX_NUMBER  # this system does not say


def _fields(folder: Path) -> dict[str, Any]:
    if _size(folder / MANIFEST_FILE) > _MAX_BYTES:
        raise DamagedError(f"{folder}: {MANIFEST_FILE} has more than {_MAX_BYTES} bytes")
    try:
        fields = json.loads(_read(folder / MANIFEST_FILE, Path.read_bytes))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{folder}: {MANIFEST_FILE} is not JSON: {error}") from None
    if not isinstance(fields, dict) or type(fields.get("format")) is not int:
        raise DamagedError(f"{folder}: {MANIFEST_FILE} has no format")
    if fields["format"] > MANIFEST_FORMAT:
        raise CheckpointError(
            f"{folder}: a newer trackside wrote it in format {fields['format']}; this one reads "
            f"formats up to {MANIFEST_FORMAT}"
        )
    return fields


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a Manifest.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: a field is missing or has a value that no
            fit writes.
    """
    facts = fields["facts"]
    for name, least in (("epoch", -1), ("batch", -1)):
        _whole(f"facts: {name}", facts.get(name, 0), least, _MAX_NUMBER)
    for name in ("why", "phase"):
        if not isinstance(facts.get(name, ""), str):
            raise TypeError(f"facts: {name} is {facts[name]!r}; allowed: str")
    for name, value in facts.get("metrics", {}).items():
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValueError(f"facts: metric {name} is {value!r}; allowed: finite numbers")
    return {
        "step": _whole("step", fields["step"], 0, _MAX_STEP),
        "serial": _whole("serial", fields["serial"], 1, _MAX_NUMBER),
        "facts": dict(facts),
        "files": _checked_files(fields["files"]),
    }


def _checked_files(files: Mapping[str, Any]) -> dict[str, FileDigest]:
    for name in files:
        if not _PLAIN_NAME.fullmatch(name):
            raise ValueError(f"it lists {name!r}, which is not a plain file name")
    missing = [name for name in (WEIGHTS_FILE, STATE_FILE) if name not in files]
    if missing:
        raise ValueError(f"it does not list {' and '.join(missing)}")
    digests = {name: FileDigest(**file) for name, file in files.items()}
    for name, digest in digests.items():
        _whole(f"size of {name}", digest.size, 0, _MAX_NUMBER)
        if not _DIGEST.fullmatch(digest.sha256):
            raise ValueError(f"the SHA-256 of {name} is {digest.sha256!r}")
    return digests


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}; allowed: an int, from {least} to {most}")
    return value


def _checksum(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _size(path: Path) -> int:
    status: os.stat_result = _read(path, os.lstat)
    if not stat.S_ISREG(status.st_mode):
        raise DamagedError(f"{path.parent}: {path.name} is not a file")
    return status.st_size


def _read(path: Path, reader: Any) -> Any:
    try:
        return reader(path)
    except FileNotFoundError:
        raise DamagedError(f"{path.parent}: {path.name} is missing") from None
    except OSError as error:
        raise DamagedError(f"{path.parent}: {path.name} cannot be read: {error}") from None
