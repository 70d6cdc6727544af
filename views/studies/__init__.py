"""Ablation studies: fits without one handler or another, over seeds, and what it changes.

May import: output, jobs, recordings.
"""
