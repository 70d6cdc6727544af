"""What the docstrings of handlers say, for the command line and the README.

May import: nothing in views.
"""
