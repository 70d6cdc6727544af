"""What a person looks at: the command line, and what it is given to train."""

from .job import Job
from .recorded import RecordingError
from .recording import Recording
from .status import Status, status
from .totals import Totals, totals
from .watch_app import watch_app

__all__ = [
    "Job",
    "Recording",
    "RecordingError",
    "Status",
    "Totals",
    "status",
    "totals",
    "watch_app",
]
