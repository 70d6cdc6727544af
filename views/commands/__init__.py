"""The command line: a file for each command, and the options that they share.

May import: output, jobs, recordings, exports, page, verify.
"""
