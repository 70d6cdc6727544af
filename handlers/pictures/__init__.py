"""What an evaluation looks like: examples, confusion matrices, worst predictions.

May import: nothing in handlers.
"""
