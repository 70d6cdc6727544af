"""Everything a fit needs to resume: captured, checked, written, read, restored.

May import: statechart, data.
"""
