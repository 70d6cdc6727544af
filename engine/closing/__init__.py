"""What closes scopes: requested cancels, what was raised, the unwinding, the end of a run.

May import: statechart.
"""
