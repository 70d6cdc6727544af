"""The files in `results/`, from which the figures of README and docs are made."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from machine import described

RESULTS = Path(__file__).parent / "results"


def write(name: str, figures: dict[str, Any]) -> None:
    """Write `results/NAME.json`: the figures, the machine, and its load at the end."""
    found = {"machine": loaded_machine(), **figures}
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def loaded_machine() -> dict[str, Any]:
    """The machine, and how many processes want its cores at the end of a measurement."""
    return {**described(), "load": round(os.getloadavg()[0], 1)}
