"""The chart as literal data, and what follows from it: phases, soundness, machine, compiled table.

May import: nothing in engine.
"""
