"""Read and check recordings: records, totals, the health of a run, comparison of two runs.

May import: output.
"""
