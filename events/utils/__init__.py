"""Small functions that all packages share: nested containers, checks of arguments, notes, the log.

May import: nothing in events.
"""
