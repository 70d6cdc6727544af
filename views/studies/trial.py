"""Make one fit of a study: a job without some of its handlers."""

from __future__ import annotations

import math
from numbers import Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...engine import Trainer
from ...engine.fit_state.training_state import named_handlers
from ...events import TrainerProtocol, TrainState
from ...events.utils.exception_text import first_line, traceback_text
from ...handlers import History, Metrics, Recorder
from ...handlers.control._judged_metric import JudgedMetric
from ...handlers.logging._row import to_python
from ...handlers.recording.format import MIN_RECORDS
from ...handlers.run_facts import run_facts
from ..jobs.job import Job
from ..jobs.named_job import JobSource
from ..jobs.writing_handlers import writes_only
from ..recordings.recording import Recording
from ..recordings.totals import totals
from .data_order import SameDataOrder
from .trial_result import Result, Row, Trial


class JudgedBy(JudgedMetric):
    """Fails a fit in its first epoch if nobody reports the metric of the study."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.is_missing = False
        self.was_reported = False

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        try:
            super().after_epoch(trainer, state)
        except LookupError:
            self.is_missing = True
            raise

    def _judge(self, value: float, state: TrainState) -> None:
        self.was_reported = True


def run_trial(source: JobSource, trial: Trial, metric: str, epochs: int | None) -> Result:
    """Create the job, remove handlers, fit; an error of the factory or the fit is a result, too."""
    result: Result = {"outcome": "failed", "reason": "", "error": "", "is_missing_metric": False}
    judge = JudgedBy(metric)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trial.loop"
        try:
            job = source.create(trial.seed, dict(trial.arguments))
            history = _prepare(job.trainer, trial, judge, path)
            result["rows"] = history.rows
            _fit(job, trial.seed, epochs, result)
            if result["outcome"] == "completed" and not judge.was_reported:
                judge.is_missing = True
                raise LookupError(f"the fit has reported no {metric!r}")
        except Exception as error:
            result["outcome"], result["error"] = "failed", traceback_text(error)
            result["reason"] = first_line(error)
            result["is_missing_metric"] = judge.is_missing
        if path.exists():
            _add_costs(path, result)
    result["rows"] = [_plain_row(row) for row in result.get("rows", [])]
    return result


def _prepare(trainer: Trainer, trial: Trial, judge: JudgedBy, path: Path) -> History:
    """Remove handlers, and attach what observes the fit."""
    for name, handler in named_handlers(trainer).items():
        if name in trial.without or writes_only(handler):
            trainer.detach(handler)
    if not any(isinstance(handler, Metrics) for handler in trainer.handlers):
        trainer.attach(Metrics())
    history = History()
    recorder = Recorder(path, records=MIN_RECORDS, timing=True, scalars=None)
    for own in (history, judge, SameDataOrder(trial.seed), recorder):
        trainer.attach(own)
    return history


def _fit(job: Job, seed: int, epochs: int | None, result: Result) -> None:
    state = job.trainer.state
    try:
        job.trainer.fit(
            job.train_loader, job.valid_loader, job.epochs if epochs is None else epochs, seed=seed
        )
    finally:
        result["facts"] = run_facts(state)
    result["outcome"] = state.outcome
    if state.cancel is not None:
        result["reason"] = f"{state.cancel.raised_by}: {state.cancel.reason}"


def _add_costs(path: Path, result: Result) -> None:
    with Recording(path) as recording:
        recorded = totals(recording)
    costs: dict[str, tuple[int, int]] = {}
    for entry, total in recorded.receivers.items():
        owner = entry.name.partition(".")[0]
        calls, ns = costs.get(owner, (0, 0))
        costs[owner] = calls + total.count, ns + total.ns
    own = (History.__name__, JudgedBy.__name__)
    result["costs"] = {name: cost for name, cost in costs.items() if name not in own}
    result["seconds"] = recorded.seconds


def _plain_row(row: Row) -> Row:
    return {name: _plain(to_python(value)) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """A value that JSON has; a number that is not finite as text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else str(float(value))
    return str(value)[:500]
