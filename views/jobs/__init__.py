"""Import a factory that the command line names, and create its job: a trainer and its loaders.

May import: options, output.
"""
