"""The chart as literal data; its phases, its checks, its machine and its compiled table.

May import: nothing in engine.
"""
