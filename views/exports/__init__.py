"""Convert recordings to formats of other tools: Chrome trace, Perfetto, CSV; a chart to PNG.

May import: output, recordings.
"""
