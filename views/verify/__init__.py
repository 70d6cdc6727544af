"""Verify that your fit resumes exactly: `trackside verify-resume`.

May import: output, jobs, journals.
"""
