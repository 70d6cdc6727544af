"""What every view writes with: units, text columns, whole files, the one-line error.

May import: nothing in views.
"""
