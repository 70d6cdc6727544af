"""Draws a chart: as SVG, wide and narrow, and as text for Mermaid and Graphviz.

`svg` writes the scene of `layout`; `narrow_svg` lists the rows of each box in its place, for a
frame that is too narrow for arrows. `mermaid` and `dot` need the tree of boxes only: those tools do
the layout themselves.

May import: layout, statechart.
"""
