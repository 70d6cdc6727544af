"""Train from a checkpoint up to a batch, and stop there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ...engine import Trainer, read_checkpoint
from ...engine.checkpoint.checkpoint_paths import readable_checkpoints
from ...engine.fit_state.training_state import stateful_handlers
from ...events import Transition
from ...events.utils.similar_names import did_you_mean
from ...handlers import Checkpoint, Journal, Preemption
from ..jobs.import_target import import_factory
from ..jobs.job_factory import create_job
from ..journals.journal_diff import diff_journals
from ..output.usage_error import UsageError
from .stop_condition import StopCondition


class RewindError(UsageError):
    """The batch cannot be had again; the message says why."""


def rewind(
    factory: Callable[..., Any] | str,
    folder: str | Path,
    step: int | None = None,
    *,
    until: str | None = None,
    at: str | None = None,
    device: torch.device | None = None,
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
        device: of the job; None: its own.
        twice: run the stretch a second time, and refuse if the two differ.

    Raises:
        RewindError: there is no checkpoint before the batch; the run ends before it; the two runs
            of the stretch differ, and how.
        UsageError: the factory, or an argument, is wrong.
        CheckpointError: the checkpoint cannot be resumed.
    """
    if step is None and until is None:
        raise UsageError("rewind: neither step nor until is given; allowed: one of them, or both")
    if isinstance(factory, str):
        factory = import_factory(factory)
    target = Target(step, until, at)
    source = checkpoint_before(Path(folder), step)
    stretch = Stretch(factory, source, target, device)
    if twice:
        stretch.compare_two_runs()
    return stretch.run()


class Target:
    """The place to stop at.

    Raises:
        UsageError: the condition cannot be read.
    """

    def __init__(self, step: int | None, until: str | None, at: str | None) -> None:
        self.step = step
        self.condition = None if until is None else StopCondition.parse(until)
        if until is not None and at == "begin_batch":
            raise UsageError(f"rewind(at={at!r}): whether {until!r} is true is not known before")
        self.at = at or ("begin_batch" if until is None else "after_loss")

    def __str__(self) -> str:
        parts = [] if self.step is None else [f"step {self.step}"]
        parts += [] if self.condition is None else [f"the condition {self.condition.text!r}"]
        return " and ".join(parts)

    def check(self, trainer: Trainer) -> None:
        """Refuse a signal or a field that the trainer does not have."""
        self.at = trainer.signal_name(self.at)
        if self.at not in trainer.signals:
            raise UsageError(
                f"rewind(at={self.at!r}): this trainer sends no such signal"
                f"{did_you_mean(self.at, trainer.signals)}"
            )
        if self.condition is not None:
            self.condition.check(trainer.state)


class Stretch:
    """The part of a run from a checkpoint to the target."""

    def __init__(
        self,
        factory: Callable[..., Any],
        checkpoint: Path,
        target: Target,
        device: torch.device | None,
    ) -> None:
        self.factory = factory
        self.checkpoint = checkpoint
        self.target = target
        self.device = device

    def run(self, journal: Path | None = None) -> Trainer:
        """A new trainer that has made this stretch.

        Args:
            journal: also write a journal of it.
        """
        job = create_job(self.factory, _name(self.factory), self.device)
        trainer = job.trainer
        self.target.check(trainer)
        saved = read_checkpoint(self.checkpoint)
        _detach_writers(trainer, saved)
        if journal is not None:
            trainer.attach(Journal(journal, blame=True))
        run = trainer.steps(job.train_loader, job.valid_loader, resume=saved)
        vars(trainer)["rewound"] = run  # the trainer refers to it weakly: it would be closed
        try:
            self._advance(trainer, run)
        except BaseException:
            run.close()
            raise
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
        for transition in run:
            if transition.trigger == begin:
                in_batch = state.training and (target.step is None or state.step >= target.step)
                found, passed = in_batch and target.condition is None, False
            if in_batch and not found and target.condition is not None:
                found = transition.trigger != begin and target.condition.holds(state)
            passed = passed or transition.trigger == target.at
            if found and passed:
                return
            if found and transition.trigger == end:
                raise RewindError(
                    f"the batch of {target} (step {state.step}) ended without {target.at}"
                    f"{_closed_by(trainer)}"
                )
        raise RewindError(
            f"the run ends after {state.step} steps{_closed_by(trainer)}: it does not reach "
            f"{target}"
        )


def checkpoint_before(folder: Path, step: int | None) -> Path:
    """The newest intact checkpoint at or before a step; the oldest one if that is None.

    Raises:
        RewindError: there is none.
    """
    found = sorted(readable_checkpoints(folder), key=lambda item: (item[1].step, item[1].serial))
    if not found:
        raise RewindError(f"there is no checkpoint in {folder}")
    if step is None:
        return found[0][0]
    before = [path for path, manifest in found if manifest.step <= step]
    for path in reversed(before):
        if not (_step_of(path, found) == step and _has_gradients(path)):
            return path
    raise RewindError(
        f"there is no checkpoint before step {step} in {folder}: the oldest is at step "
        f"{found[0][1].step}; Checkpoint(keep_last=None) keeps all"
    )


def _step_of(path: Path, found: list[Any]) -> int:
    return next(int(manifest.step) for one, manifest in found if one == path)


def _has_gradients(path: Path) -> bool:
    """Whether it was saved between two batches of the same step, of which the first is wanted."""
    return any(value is not None for value in read_checkpoint(path)["gradients"].values())


def _detach_writers(trainer: Trainer, saved: dict[str, Any]) -> None:
    """Detach what writes files or saves; and take its state out of `saved`."""
    before = copy(dict(stateful_handlers(trainer)))
    for handler in trainer.handlers:
        logs = getattr(handler, "on_error", "raise") == "detach"
        if logs or isinstance(handler, (Checkpoint, Preemption)):
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
