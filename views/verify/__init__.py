"""Checks that a fit of yours resumes exactly: `trackside verify-resume`.

May import: output, jobs.
"""
