"""The command line: one file for each command.

May import: exports, fitting, handler_docs, jobs, journals, options, output, page, recordings,
rewinding, studies, terminal, verify.
"""
