"""What a fit reports: metrics, progress bars, log files, experiment trackers, statistics.

May import: nothing in handlers.
"""
