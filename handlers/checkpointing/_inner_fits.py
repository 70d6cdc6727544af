"""Charts whose run holds several fits, one after the other."""

from __future__ import annotations

from ...events import TrainerProtocol


def has_inner_fits(trainer: TrainerProtocol) -> bool:
    """Whether the fit of the trainer's chart is inside other scopes, such as folds."""
    begins = (sources for trigger, sources, _ in trainer.topology.rows if trigger == "begin_fit")
    return any("idle" not in sources for sources in begins)
