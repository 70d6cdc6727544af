"""What happens between the backward pass and the optimizer step, and to which parameters.

May import: nothing in handlers.
"""
