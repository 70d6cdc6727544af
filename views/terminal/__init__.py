"""Render recorded runs for the terminal.

May import: output, recordings.
"""
