"""Journals, line by line: `trackside diff` compares two of them.

May import: output.
"""
