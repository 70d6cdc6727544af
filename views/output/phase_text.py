"""Format a phase for people."""

from __future__ import annotations


def phase_text(phase: str, last: int = 0) -> str:
    """`fit › epoch › train › batch › step`; with `last`, only so many parts of its end."""
    return " › ".join(phase.removesuffix(".run").split(".")[-last:])
