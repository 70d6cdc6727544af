"""A fit inside a larger application: background thread, async stream, progress, interruption.

May import: statechart.
"""
