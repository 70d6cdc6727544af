"""What a handler declares to write, by signal: `writes = {"after_loss": ("loss",)}`."""

from __future__ import annotations

from collections.abc import Mapping

Writes = Mapping[str, tuple[str, ...]]
