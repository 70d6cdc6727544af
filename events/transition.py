"""The record of one transition."""

from __future__ import annotations

from typing import NamedTuple


class Transition(NamedTuple):
    """One step of the machine, from a leaf phase to a leaf phase."""

    trigger: str
    """The name of the signal that publishes it."""
    source: str
    """The phase that was left, `fit.epoch.train.fetch`."""
    destination: str
    """The phase that was entered; already live while the signal is sent."""
