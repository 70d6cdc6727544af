"""Fit a job from the command line: bars, the printed epochs, the files of the run.

May import: jobs, options, output, recordings.
"""
