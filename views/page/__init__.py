"""The live page, the offline report and the comparison page.

May import: output, recordings.
"""
