"""Training in several processes: `Distributed` joins them, shards the data, wraps the model.

May import: nothing in handlers.
"""
