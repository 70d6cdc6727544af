"""The files of a checkpoint: written whole or not at all, found, checked and read again.

May import: fit_state.
"""
