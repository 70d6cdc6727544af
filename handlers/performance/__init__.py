"""Speed and memory: precision, compilation, recomputation, profiling.

May import: optimization.
"""
