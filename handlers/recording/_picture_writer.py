"""Write the pictures of a run to a part of a recording of a bounded size."""

from __future__ import annotations

import base64
import json
from time import monotonic_ns
from typing import Any, NamedTuple

from ...events import TrainState
from ...events.pictures import Confusion, Examples, Picture, Shown
from ...events.utils.log import log
from ...events.utils.value_description import describe
from ._mapped_file import RecordingFile
from .format import Live


class _Kept(NamedTuple):
    name: str
    text: bytes


class PictureWriter:
    """Keeps the newest picture of each name, and as many earlier ones as there is room for.

    If their part is full, every second earlier one goes, of the name that needs the most room. So
    the first and the last stay the longest. A picture that is too large by itself is not kept.
    """

    def __init__(self, file: RecordingFile) -> None:
        self._file = file
        self._kept: list[_Kept] = []
        self._written = 0

    def write(self, state: TrainState) -> None:
        """Add the pictures of an epoch or evaluation; nothing if there are none."""
        if not state.pictures:
            return
        encoded = [(name, _encoded(name, one, state)) for name, one in state.pictures.items()]
        new = [_Kept(name, text) for name, text in encoded if text is not None]
        most = self._file.layout.picture_bytes
        for one in new:
            if len(one.text) + 2 > most:
                log.warning("Recorder: %s has %s bytes, more than is kept", one.name, len(one.text))
        fitting = [one for one in new if len(one.text) + 2 <= most]
        self._kept = _thinned([*self._kept, *fitting], most)
        self._store(b"[" + b",".join(one.text for one in self._kept) + b"]")

    def _store(self, text: bytes) -> None:
        """Write the half that is not in use, then the word that makes it the one in use."""
        self._written += 1
        word = self._written << 32 | len(text)
        start, size = self._file.layout.pictures_in_use(word)
        self._file.mapped[start : start + size] = text
        self._file.set_live(Live.PICTURES, word)


def _thinned(kept: list[_Kept], most: int) -> list[_Kept]:
    """Leave out earlier ones, then the largest, until the text of all has at most `most` bytes."""
    while sum(len(one.text) + 1 for one in kept) + 1 > most:
        newest = {one.name: at for at, one in enumerate(kept)}
        earlier = [at for at, one in enumerate(kept) if newest[one.name] != at]
        if earlier:
            left_out = set(_every_second(kept, earlier))
        else:
            left_out = {max(range(len(kept)), key=lambda at: len(kept[at].text))}
        kept = [one for at, one in enumerate(kept) if at not in left_out]
    return kept


def _every_second(kept: list[_Kept], earlier: list[int]) -> list[int]:
    """Of the earlier pictures of the name that needs the most room."""
    room: dict[str, int] = {}
    for at in earlier:
        room[kept[at].name] = room.get(kept[at].name, 0) + len(kept[at].text)
    largest = max(room, key=lambda name: room[name])
    places = [at for at in earlier if kept[at].name == largest]
    return places[1::2] or places


def _encoded(name: str, picture: Picture, state: TrainState) -> bytes | None:
    """None, and a warning, if a handler has put something else there: the recording goes on."""
    place = {"name": name, "epoch": state.epoch, "step": state.step, "ns": monotonic_ns()}
    try:
        return json.dumps({**place, **_content(picture)}, separators=(",", ":")).encode()
    except (TypeError, ValueError, AttributeError) as error:
        log.warning("Recorder: state.pictures[%r] is not kept: %s", name, error)
        return None


def _content(picture: Picture) -> dict[str, Any]:
    if not isinstance(picture, Confusion | Examples):
        raise TypeError(f"it is {describe(picture)}; allowed: Examples, Confusion")
    if isinstance(picture, Confusion):
        return {"classes": picture.classes, "counts": picture.counts}
    return {
        "examples": [
            [*map(_part, (one.input, one.prediction, one.target)), one.is_right, _number(one.loss)]
            for one in picture.examples
        ]
    }


def _part(value: Shown) -> str | dict[str, str]:
    return value if isinstance(value, str) else {"png": base64.b64encode(value).decode()}


def _number(loss: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    return loss if loss is None or abs(loss) < float("inf") else None
