"""Convert recordings to the formats of other tools: Chrome trace, Perfetto, CSV.

May import: output, recordings.
"""
