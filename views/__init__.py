"""What a person looks at: the command line, and what it is given to train."""

from .job import Job

__all__ = ["Job"]
