"""Any batch of a checkpointed run again: `trackside rewind`.

May import: output, jobs, journals.
"""
