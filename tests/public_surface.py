"""The public surface as text, a line each: `python tests/public_surface.py --write`.

Names with their signatures, signals, cancels, the fields of TrainState, and the formats of files.
What is there may be used; what changes there is written into the changelog.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

from trackside.engine.checkpoint.manifest import MANIFEST_FORMAT
from trackside.engine.checkpoint.shard_reader import LAYOUT_FORMAT
from trackside.engine.fit_state.training_state import STATE_DICT_FORMAT
from trackside.events import CANCELS, TrainState
from trackside.events.signals import STANDARD_SIGNALS
from trackside.handlers.recording.format import VERSION as RECORDING_FORMAT
from trackside.handlers.recording.journal import FORMAT as JOURNAL_FORMAT
from trackside.views.studies.study_database import VERSION as STUDY_FORMAT

KEPT = Path(__file__).with_name("public_surface.txt")
PACKAGES = ("trackside.events", "trackside.engine", "trackside.handlers", "trackside.views")


def lines() -> list[str]:
    """The whole surface, in an order of its own that does not change with that of imports."""
    found = [line for package in PACKAGES for line in _names(package)]
    found += [f"signal {name}" for name in sorted(STANDARD_SIGNALS)]
    found += [f"cancel of {scope}: {cancel.__name__}" for scope, cancel in sorted(CANCELS.items())]
    found += [f"TrainState.{field.name}: {field.type}" for field in fields(TrainState)]
    return [
        *found,
        f"format of a checkpoint: {MANIFEST_FORMAT}",
        f"format of the shards of a checkpoint: {LAYOUT_FORMAT}",
        f"format of a state dict: {STATE_DICT_FORMAT}",
        f"format of a recording: {RECORDING_FORMAT}",
        f"format of a journal: {JOURNAL_FORMAT}",
        f"format of a study: {STUDY_FORMAT}",
    ]


def _names(package: str) -> list[str]:
    module = import_module(package)
    return [line for name in sorted(module.__all__) for line in _of(package, name)]


def _of(package: str, name: str) -> list[str]:
    value = getattr(import_module(package), name)
    here = f"{package}.{name}"
    if not inspect.isclass(value):
        return [f"{here}{_signature(value)}" if callable(value) else here]
    if issubclass(value, BaseException) or is_dataclass(value) or issubclass(value, tuple):
        return [here]
    if package == "trackside.handlers":  # its methods are called by the trainer
        return [f"{here}{_signature(value)}"]
    methods = [
        f"{here}.{own}{_signature(method)}"
        for own, method in sorted(vars(value).items())
        if not own.startswith("_") and inspect.isfunction(method)
    ]
    return [f"{here}{_signature(value)}", *methods]


def _signature(value: object) -> str:
    """Empty for a class that has the constructor of a built-in one."""
    try:
        return str(inspect.signature(value))  # type: ignore[arg-type]
    except ValueError:
        return ""


if __name__ == "__main__":
    text = "\n".join(lines()) + "\n"
    KEPT.write_text(text) if "--write" in sys.argv else print(text, end="")
