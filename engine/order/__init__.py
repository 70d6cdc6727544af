"""Which examples are in which batch of an epoch, and which are left out.

May import: randomness.
"""
