"""The flight recorder: every transition, in a file that another process can read.

May import: logging.
"""
