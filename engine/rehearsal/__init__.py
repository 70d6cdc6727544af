"""A fit without a model call: every signal is sent, on stand-ins of the model and the data.

May import: statechart, loop, data, randomness, fit_state, checkpoint.
"""
