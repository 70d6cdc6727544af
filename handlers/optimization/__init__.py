"""Gradients before the optimizer step, and the parameters that are optimized.

May import: nothing in handlers.
"""
