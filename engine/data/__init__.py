"""Where batches come from: a loader with a position, its worker processes, a pass over any loader.

May import: randomness, order.
"""
