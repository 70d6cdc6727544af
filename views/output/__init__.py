"""Write output for people: units, text columns, complete files, one-line errors.

May import: nothing in views.
"""
