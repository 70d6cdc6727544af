"""The picture of a chart as PNG: its SVG with plain colours, drawn by resvg."""

from __future__ import annotations

import re

from ..output.usage_error import UsageError

ZOOM = 2
"""Pixels for a unit of length, so that the picture is sharp in print."""

_DARK = re.compile(r"@media[^{]*{[^{}]*{[^{}]*}}", re.DOTALL)
_COLOUR = re.compile(r"--(\w+):([^;}]+)")
_FONTS = re.compile(r"font-family:[^}]*")
_FOUND_FONTS = "font-family:Arial,'Segoe UI','DejaVu Sans','Liberation Sans','Noto Sans',sans-serif"


def png(picture: str) -> bytes:
    """Draw the SVG of a chart, as on a light page, in the fonts of this machine.

    Raises:
        UsageError: resvg is missing: `pip install 'trackside[png]'`.
    """
    try:
        import resvg_py
    except ImportError:
        raise UsageError(
            "a PNG is drawn by resvg, which is not installed: pip install 'trackside[png]'"
        ) from None
    return bytes(resvg_py.svg_to_bytes(svg_string=with_plain_colours(picture), zoom=ZOOM))


def with_plain_colours(picture: str) -> str:
    """The SVG without variables and media queries, which only browsers know."""
    light = _FONTS.sub(_FOUND_FONTS, _DARK.sub("", picture))
    colours = dict(_COLOUR.findall(light))
    return re.sub(r"var\(--(\w+)\)", lambda name: colours[name[1]], light)
