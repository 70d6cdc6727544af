"""Everything that a fit needs to resume: capture, check, write, read and restore it.

May import: statechart, data.
"""
