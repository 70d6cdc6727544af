"""What people use to look at a fit: the command line, recordings, the live page, reports."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from .journals.journal_replay import RecordedError, replay
    from .rewinding.rewind import rewind
    from .rewinding.rewind_target import RewindError
    from .studies.ablation import ablate
    from .studies.study import Study

__all__ = [
    "Job",
    "JournalComparison",
    "JournalDifference",
    "JournalError",
    "RankComparison",
    "RecordedError",
    "Recording",
    "RecordingError",
    "RewindError",
    "Status",
    "Study",
    "Totals",
    "Verification",
    "ablate",
    "compare_ranks",
    "diff_journals",
    "replay",
    "rewind",
    "status",
    "totals",
    "verify_resume",
    "watch_app",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_LATER = {  # these import torch
    "RecordedError": ".journals.journal_replay",
    "Study": ".studies.study",
    "ablate": ".studies.ablation",
    "replay": ".journals.journal_replay",
    "RewindError": ".rewinding.rewind",
    "rewind": ".rewinding.rewind",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name], __name__), name)
