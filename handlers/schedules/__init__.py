"""Learning rates and other optimizer options over the fit.

May import: optimization, control.
"""
