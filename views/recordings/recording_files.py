"""Find the recordings in a folder, whose content may change meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".loop"


def recording_files(path: Path) -> list[Path]:
    """The `*.loop` files in a folder and its subfolders, sorted; of another path, that path.

    A subfolder that vanishes or cannot be read is skipped: a fit may save and delete checkpoints
    there. A link is skipped if it leads out of the folder.
    """
    return sorted(_walk(path)) if path.is_dir() else [path]


def _walk(root: Path) -> Iterator[Path]:
    inside = os.path.join(os.path.realpath(root), "")
    for folder, _, names in os.walk(root):  # it skips what it cannot read
        for name in names:
            file = os.path.join(folder, name)
            is_link_out = os.path.islink(file) and not os.path.realpath(file).startswith(inside)
            if name.endswith(SUFFIX) and not is_link_out:
                yield Path(file)
