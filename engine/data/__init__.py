"""Where batches come from: a loader with a position, random number generators, worker processes.

May import: nothing in engine.
"""
