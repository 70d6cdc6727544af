"""Read the pictures of a recording, whose content is not trusted."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any, NamedTuple

from ...events.pictures import Confusion, Example, Examples, Picture, Shown
from .untrusted_input import has_type, printable_line, printable_lines

_PNG = b"\x89PNG\r\n\x1a\n"
_SIZE, _SIZE_AT = struct.Struct(">2I"), 16
_LONGEST_EDGE = 4096
"""A small file may be an image that fills the memory of a browser."""
_MOST_CLASSES = 200


class KeptPicture(NamedTuple):
    """A picture, and the position of the run."""

    name: str
    epoch: int
    """From 0; -1 before the first."""
    step: int
    """Optimizer updates made so far."""
    time_ns: int
    picture: Picture


def parse_pictures(text: bytes) -> list[KeptPicture]:
    """The pictures in a text that the recorder has written; without those that are damaged."""
    try:
        entries = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return []
    found = map(_kept_picture, entries if isinstance(entries, list) else [])
    return [one for one in found if one is not None]


def _kept_picture(entry: Any) -> KeptPicture | None:
    try:
        name, epoch, step, time_ns = (entry[key] for key in ("name", "epoch", "step", "ns"))
        if not has_type(str, name) or not all(has_type(int, n) for n in (epoch, step, time_ns)):
            return None
        picture = _examples(entry) if "examples" in entry else _confusion(entry)
    except (TypeError, KeyError, ValueError, OverflowError, struct.error):
        return None
    return KeptPicture(printable_line(name), epoch, step, time_ns, picture)


def _examples(entry: dict[str, Any]) -> Examples:
    return Examples(tuple(map(_example, entry["examples"])))


def _example(parts: Any) -> Example:
    *shown, is_right, loss = parts
    if is_right not in (True, False, None) or type(loss) not in (float, int, type(None)):
        raise TypeError("an example has fields of wrong types")
    value, prediction, target = map(_shown, shown)
    return Example(value, prediction, target, is_right, None if loss is None else float(loss))


def _shown(part: Any) -> Shown:
    """A text, or a PNG by its first bytes: a browser shows nothing else as one."""
    if isinstance(part, str):
        return printable_lines(part)
    try:
        image = base64.b64decode(part["png"], validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
    if not image.startswith(_PNG) or max(_SIZE.unpack_from(image, _SIZE_AT)) > _LONGEST_EDGE:
        raise ValueError("no PNG, or a large one")
    return image


def _confusion(entry: dict[str, Any]) -> Confusion:
    classes, counts = entry["classes"], entry["counts"]
    size = len(classes)
    are_names = size <= _MOST_CLASSES and all(has_type(str, name) for name in classes)
    rows = tuple(tuple(row) for row in counts)
    are_counts = len(rows) == size and all(
        len(row) == size and all(has_type(int, count) and count >= 0 for count in row)
        for row in rows
    )
    if not are_names or not are_counts:
        raise ValueError("no matrix of counts")
    return Confusion(tuple(map(printable_line, classes)), rows)
