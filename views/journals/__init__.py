"""Journals, line by line: `trackside diff` compares two of them, `replay` drives handlers by one.

May import: nothing in views.
"""
