"""Upper bounds of text widths, for any common sans-serif font."""

from __future__ import annotations

import functools

NAME_SIZE = 12.5
NOTE_SIZE = 11.0
LABEL_SIZE = 11.0
LINE_HEIGHT = 13.0
"""Height of one line of a label."""

_CLASSES = {
    0.33: "',.ijlI ",
    0.42: "()[]/\\-:;|!rft·",
    0.64: "abcdeghknopqsuvxyzJLF_*`0123456789$?{}",
    0.72: 'ABCEKPRSTVXYZ"',
    0.84: "DGHNOQUw×+=<>&→#^~",
    1.00: "mMW@%…",
}
_WIDTH = {character: width for width, characters in _CLASSES.items() for character in characters}
_WIDEST = 1.35
_BOLD = 1.18


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """An upper bound of the width of one line, in the unit of `size`.

    Taken from the advance widths of DejaVu Sans, the widest common font, rounded up; letters
    outside ASCII count as the widest.
    """
    ems = sum(_WIDTH.get(character, _WIDEST) for character in text)
    return ems * size * (_BOLD if bold else 1)
