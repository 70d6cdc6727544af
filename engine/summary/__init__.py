"""What a trainer says of itself: its repr, and the summary of its models.

May import: batches, fit_state, loop, statechart.
"""
