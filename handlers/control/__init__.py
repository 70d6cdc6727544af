"""When a batch, an epoch or the fit ends early, and when validation runs.

May import: optimization.
"""
