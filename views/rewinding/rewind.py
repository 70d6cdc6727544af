"""Train from a checkpoint up to a batch, and stop there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ...engine import Trainer
from ...engine.fit_state.training_state import stateful_handlers
from ...events import Transition
from ...handlers import History, Journal, Metrics
from ..jobs.import_target import import_factory
from ..jobs.job import Job
from ..jobs.job_factory import create_job
from ..jobs.writing_handlers import writes_only
from ..journals.journal_diff import diff_journals
from .nearest_checkpoint import checkpoint_before
from .rewind_target import RewindError, Target


def rewind(
    factory: Callable[..., Any] | str,
    folder: str | Path,
    step: int | None = None,
    *,
    until: str | None = None,
    at: str | None = None,
    before: str | None = None,
    device: torch.device | None = None,
    seed: int | None = None,
    twice: bool = False,
) -> Trainer:
    """The trainer of a checkpointed run, stopped in a batch; `trainer.step()` goes on from there.

    The fit resumes from the nearest checkpoint before the batch, and trains up to it. Nothing of
    the run is changed: handlers that write, Checkpoint, Preemption and those with
    `on_error = "detach"` such as loggers, are detached. As the factory attaches them first, a
    Recorder in it replaces its file.

    Args:
        factory: returns the Job of the run, as for `trackside fit`; or its target.
        folder: its checkpoints.
        step: stop in the first batch that begins when this number of updates has been made.
        until: stop at the first training batch for which this is true: "nan", a loss that is not
            finite, or a comparison, "loss > 5"; from `step` on, or from the oldest checkpoint.
        at: the signal of that batch after whose receivers it stops; by default `begin_batch`, and
            `after_loss` with `until`.
        before: the signal of that batch before which it stops: the activity has run, and no
            receiver of the signal has seen or changed its result. In place of `at`.
        device: of the job; None: its own.
        seed: for the factory, as `trackside fit --seed`; the fit itself resumes its generators.
        twice: run the stretch a second time, and refuse if the two differ.

    Raises:
        RewindError: there is no checkpoint before the batch; the run ends before it; the two runs
            of the stretch differ, and how.
        UsageError: the factory, or an argument, is wrong.
        CheckpointError: the checkpoint cannot be resumed.
    """
    target = Target(step, until, at, before)
    if isinstance(factory, str):
        factory = import_factory(factory)
    new_job = partial(create_job, factory, _name(factory), device, seed)
    return rewind_job(new_job, folder, target, twice)


def rewind_job(
    new_job: Callable[[], Job], folder: str | Path, target: Target, twice: bool = False
) -> Trainer:
    """The same for a function that returns the Job of the run.

    Raises: as `rewind`.
    """
    stretch = Stretch(checkpoint_before(Path(folder), target.step), target, new_job)
    if twice:
        stretch.compare_two_runs()
    return stretch.run()


class Stretch:
    """The part of a run from a checkpoint to the target."""

    def __init__(
        self, source: tuple[Path, dict[str, Any]], target: Target, new_job: Callable[[], Job]
    ) -> None:
        self.checkpoint, self.saved = source
        self.target = target
        self.new_job = new_job

    def run(self, journal: Path | None = None) -> Trainer:
        """A new trainer that has made this stretch.

        Args:
            journal: also write a journal of it.
        """
        job = self.new_job()
        trainer = job.trainer
        self.target.check(trainer)
        saved = {**self.saved, "handlers": {**self.saved["handlers"]}}
        _attach_as_fit(trainer, saved)
        _detach_writers(trainer, saved)
        if journal is not None:
            trainer.attach(Journal(journal, blame=True))
        go_on = trainer.stop_before(self.target.signal) if self.target.is_before else None
        run = trainer.steps(job.train_loader, job.valid_loader, resume=saved)
        vars(trainer)["rewound"] = run  # the trainer refers to it weakly: it would be closed
        try:
            self._advance(trainer, run)
        except BaseException:
            run.close()
            raise
        if go_on is not None:
            go_on()
        return trainer

    def compare_two_runs(self) -> None:
        """Make the stretch twice.

        Raises:
            RewindError: the two differ; names the first difference.
        """
        with TemporaryDirectory() as folder:
            journals = [Path(folder) / name for name in ("first.jsonl", "second.jsonl")]
            for journal in journals:
                vars(self.run(journal)).pop("rewound").close()
            found = diff_journals(journals[0], journals[1]).difference
        if found is not None:
            raise RewindError(
                f"this run is not deterministic: two runs of the stretch from {self.checkpoint} "
                f"to {self.target} differ. {found}"
            )

    def _advance(self, trainer: Trainer, run: Iterator[Transition]) -> None:
        target, state = self.target, trainer.state
        begin, end = f"begin_{state.unit_scope}", f"after_{state.unit_scope}"
        in_batch = found = passed = False
        step = state.step
        for transition in run:
            trigger = transition.trigger
            if trigger in (begin, f"before_{begin}"):
                step = state.step
                in_batch = state.training and (target.step is None or state.step >= target.step)
                found, passed = in_batch and target.condition is None, False
            if in_batch and not found and target.condition is not None:
                found = trigger != begin and target.condition.holds(state)
            passed = trigger == target.stop or (passed and not target.is_before)
            if found and passed:
                return
            if found and trigger == end:
                raise RewindError(
                    f"the batch of {target} (step {step}) ended without a stop "
                    f"{target.place}{_closed_by(trainer)}{target.hint(step)}"
                )
        raise RewindError(
            f"the run ends after {state.step} steps{_closed_by(trainer)}: it does not reach "
            f"{target}"
        )


def _attach_as_fit(trainer: Trainer, saved: dict[str, Any]) -> None:
    """Attach what `trackside fit` attaches to a job without it, and whose state is saved."""
    for kind in (Metrics, History):
        if kind.__name__ in saved["handlers"] and not any(
            isinstance(handler, kind) for handler in trainer.handlers
        ):
            trainer.attach(kind())


def _detach_writers(trainer: Trainer, saved: dict[str, Any]) -> None:
    """Detach what writes files or saves; and take its state out of `saved`."""
    before = copy(dict(stateful_handlers(trainer)))
    for handler in trainer.handlers:
        if writes_only(handler):
            trainer.detach(handler)
    kept = set(map(id, trainer.handlers))
    for name, handler in before.items():
        if id(handler) not in kept:
            saved["handlers"].pop(name, None)


def _closed_by(trainer: Trainer) -> str:
    cancel = trainer.state.cancel
    if cancel is None:
        return ""
    return f", cancelled by {cancel.raised_by}: {cancel.reason}"


def _name(factory: Callable[..., Any]) -> str:
    return getattr(factory, "__qualname__", "the factory")
