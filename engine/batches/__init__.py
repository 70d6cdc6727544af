"""What is in a batch: input, target, weight and size; moved, given to the loss, joined again.

May import: data.
"""
