"""The pictures of a recording, as the page shows them."""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any

from ...events.pictures import Confusion, Example, Picture, Shown
from ..recordings.recording import Recording


def shown_pictures(path: Path) -> list[dict[str, Any]]:
    """Each with `name`, `epoch`, `step`, and `examples` or `classes` and `counts`, by time.

    Raises:
        RecordingError: the file cannot be read as a recording.
    """
    with Recording(path) as recording:
        return [
            {"name": one.name, "epoch": one.epoch, "step": one.step, **_content(one.picture)}
            for one in recording.pictures()
        ]


def _content(picture: Picture) -> dict[str, Any]:
    if isinstance(picture, Confusion):
        return picture._asdict()
    return {"examples": [_example(one) for one in picture.examples]}


def _example(one: Example) -> dict[str, Any]:
    shown = {name: _shown(value) for name, value in zip(Example._fields[:3], one[:3], strict=True)}
    loss = one.loss if one.loss is not None and math.isfinite(one.loss) else None
    return {**shown, "right": one.is_right, "loss": loss}


def _shown(value: Shown) -> str | dict[str, str]:
    """A text, or the address of an image."""
    if isinstance(value, str):
        return value
    return {"src": f"data:image/png;base64,{base64.b64encode(value).decode()}"}
