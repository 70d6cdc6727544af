"""How signals are sent: the signal class, who subscribes, in which order, what a handler may have.

May import: utils.
"""
