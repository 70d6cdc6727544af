"""What a person looks at: the command line, and what it is given to train."""

from .job import Job
from .recorded import RecordingError
from .recording import Recording
from .status import Status, status
from .totals import Totals, totals
from .verify_resume import Verification, verify_resume
from .watch_app import watch_app

__all__ = [
    "Job",
    "Recording",
    "RecordingError",
    "Status",
    "Totals",
    "Verification",
    "status",
    "totals",
    "verify_resume",
    "watch_app",
]
