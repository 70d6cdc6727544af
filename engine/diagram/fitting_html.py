"""The picture for a page: the wide one, or the narrow one where that would be shrunk."""

from __future__ import annotations

import re

_WIDTH = re.compile(r'viewBox="0 0 (\d+)')


def picture_width(svg: str) -> int:
    """The width in px at which a picture is as large as it was drawn."""
    found = _WIDTH.search(svg)
    assert found is not None, "every picture has a viewBox"
    return int(found[1])


def fitting_html(wide: str, narrow: str, width: int) -> str:
    """Two elements in one that shows the first where it is at least `width` px wide.

    So no text is smaller than it was drawn, unless the frame is narrower than both pictures. Where
    styles are taken out, as of a notebook that is not trusted, the first is shown.
    """
    name = f"trackside-chart-{width}"  # a page may show several charts
    style = (
        f".{name}{{display:block;container-type:inline-size}}"
        f"@container (width<{width}px){{.{name}>.wide{{display:none}}"
        f".{name}>.narrow{{display:inline!important}}}}"
    )
    return (
        f'<span class="{name}"><style>{style}</style>'
        f'<span class="wide">{wide}</span>'
        f'<span class="narrow" style="display:none">{narrow}</span></span>'
    )
