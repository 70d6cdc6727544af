"""Random number generators: their states, those of a batch, those that the host has as well.

May import: nothing in engine.
"""
