"""Draws a chart: as SVG, and as text for Mermaid and Graphviz.

May import: statechart.
"""
