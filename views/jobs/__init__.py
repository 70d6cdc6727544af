"""A trainer and its loaders, made by a function that the command line names.

May import: output.
"""
