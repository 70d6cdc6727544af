"""Changes of inputs and targets in training.

May import: nothing in handlers.
"""
