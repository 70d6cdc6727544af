"""The style sheet of the picture, for light and dark pages."""

from __future__ import annotations

from ..layout.text_metrics import LABEL_SIZE, NAME_SIZE, NOTE_SIZE

_COLOURS = """
.trackside-chart{--paper:#fff;--ink:#1b2733;--muted:#5b6b7c;--border:#b9c6d3;--box:#fff;
--frame:#34597a;--depth:.055;--line:#5d6f81;--cancel:#b45309;--error:#c0232c}
@media(prefers-color-scheme:dark){
.trackside-chart{--paper:#10171f;--ink:#e3eaf1;--muted:#94a5b6;--border:#3b4a5a;--box:#263442;
--frame:#86b2dc;--depth:.04;--line:#8c9fb2;--cancel:#f0a63c;--error:#ff7b7b}}"""

_BOXES = """
.trackside-chart{max-width:100%;height:auto}
.trackside-chart .paper{fill:var(--paper)}
.trackside-chart .leaf>rect{fill:var(--box)}
.trackside-chart .composite>rect{fill:var(--frame);fill-opacity:var(--depth)}
.trackside-chart .phase>rect{stroke:var(--border)}"""

_ARROWS = """
.trackside-chart .arrow,.trackside-chart .legend{color:var(--line)}
.trackside-chart .cancel{color:var(--cancel)}
.trackside-chart .error{color:var(--error)}
.trackside-chart .arrow path,.trackside-chart .legend path{fill:none;stroke:currentColor;
stroke-width:1.2}
.trackside-chart .arrow .head,.trackside-chart .legend .head{fill:currentColor;stroke:none}
.trackside-chart .cancel .line{stroke-dasharray:4 3}"""

_TEXTS = f"""
.trackside-chart text{{fill:var(--muted);font-size:{LABEL_SIZE:g}px;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}}
.trackside-chart .name{{fill:var(--ink);font-size:{NAME_SIZE:g}px;font-weight:600}}
.trackside-chart .exit{{font-size:{NOTE_SIZE:g}px}}
.trackside-chart .cancel text,.trackside-chart .error text{{fill:currentColor}}
.trackside-chart .subscribed .label,.trackside-chart .underlined text{{
text-decoration:underline;text-decoration-style:dotted}}
.trackside-chart .signal{{fill:var(--ink);font-weight:600}}
"""

STYLE = _COLOURS + _BOXES + _ARROWS + _TEXTS
"""Applies inside the picture only; a page that shows it may override the colours."""
