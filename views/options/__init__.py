"""The parser of the command line, and the options that several commands share.

May import: output.
"""
