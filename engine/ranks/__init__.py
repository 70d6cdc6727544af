"""A run of several ranks: votes on what one of them has raised, and a loop that acts on them.

May import: statechart, batches, closing, loop.
"""
