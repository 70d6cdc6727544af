"""The training loop: activities, the engine that runs them, the closing of scopes.

May import: statechart, data, diagram.
"""
