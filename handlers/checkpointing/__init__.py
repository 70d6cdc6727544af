"""When a fit is saved to disk, and which checkpoints are kept.

May import: nothing in handlers.
"""
