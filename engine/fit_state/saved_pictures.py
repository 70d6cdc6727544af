"""The pictures of the epoch that a fit is in, as plain data and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...events import Confusion, Example, Examples, TrainState
from ...events.pictures import Picture
from ..statechart.phase_paths import open_scopes

Saved = dict[str, list[Any]]


def capture_pictures(state: TrainState) -> Saved:
    """The pictures that are still to be written; none where the epoch has ended, or of a strange
    kind, of which whoever writes pictures warns.
    """
    if not open_scopes(state.phase, state.round_scope):
        return {}
    plain = {name: _plain(picture) for name, picture in state.pictures.items()}
    return {name: picture for name, picture in plain.items() if picture is not None}


def restored_pictures(saved: Mapping[str, Any]) -> dict[str, Picture]:
    """The pictures of a state dict that `is_pictures` has checked."""
    return {name: _picture(kind, *parts) for name, (kind, *parts) in saved.items()}


def is_pictures(saved: Any) -> bool:
    """Whether it is what `capture_pictures` returns."""
    return isinstance(saved, dict) and all(map(_is_picture, saved.items()))


def _plain(picture: Any) -> list[Any] | None:
    if isinstance(picture, Examples):
        found = ["examples", [list(example) for example in picture.examples]]
    elif isinstance(picture, Confusion):
        found = ["confusion", list(picture.classes), [list(row) for row in picture.counts]]
    else:
        return None
    return found if _is_picture(("", found)) else None


def _picture(kind: str, *parts: Any) -> Picture:
    if kind == "examples":
        return Examples(tuple(Example(*example) for example in parts[0]))
    classes, counts = parts
    return Confusion(tuple(classes), tuple(map(tuple, counts)))


def _is_picture(entry: tuple[Any, Any]) -> bool:
    match entry:
        case str(), ["examples", list(examples)]:
            return all(map(_is_example, examples))
        case str(), ["confusion", list(classes), list(counts)]:
            return all(isinstance(name, str) for name in classes) and all(
                isinstance(row, list) and all(type(count) is int for count in row) for row in counts
            )
    return False


def _is_example(example: Any) -> bool:
    match example:
        case [
            str() | bytes(),
            str() | bytes(),
            str() | bytes(),
            bool() | None,
            float() | int() | None,
        ]:
            return True
    return False
