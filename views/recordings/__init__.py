"""Recordings read and checked: records, totals, health, comparison.

May import: output.
"""
