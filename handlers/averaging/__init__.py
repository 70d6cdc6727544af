"""Averages of the weights over optimizer steps.

May import: nothing in handlers.
"""
