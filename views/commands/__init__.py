"""The command line: one file for each command, and the options that commands share.

May import: output, jobs, journals, recordings, exports, page, rewinding, verify.
"""
