"""The state of a fit as data: captured, checked, loaded, and taken back if that fails.

May import: statechart, data, order, randomness.
"""
