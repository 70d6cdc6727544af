"""What a service tells its monitoring of running fits: spans, and metrics that are scraped.

May import: logging.
"""
