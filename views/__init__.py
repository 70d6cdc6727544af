"""What people use to look at a fit: the command line, recordings, the live page, reports."""

from .jobs.job import Job
from .journals.journal_diff import JournalComparison, JournalDifference, diff_journals
from .journals.journal_reader import JournalError
from .page.watch_app import watch_app
from .recordings.rank_comparison import RankComparison, compare_ranks
from .recordings.recording import Recording
from .recordings.records import RecordingError
from .recordings.run_health import Status, status
from .recordings.totals import Totals, totals
from .verify.verify_resume import Verification, verify_resume

__all__ = [
    "Job",
    "JournalComparison",
    "JournalDifference",
    "JournalError",
    "RankComparison",
    "Recording",
    "RecordingError",
    "Status",
    "Totals",
    "Verification",
    "compare_ranks",
    "diff_journals",
    "status",
    "totals",
    "verify_resume",
    "watch_app",
]
