"""The processes of `verify_resume`: `python -m trackside.views.verify.resume_worker …`.

The worker only imports what the fits need. Each fit runs in a fork of it, so that no fit sees the
side effects of another. From stdin it reads the job, and the command line that was typed, which the
facts of the fits have.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch._dynamo  # optimizers import it when they are created: a second in each fork

from ...events import TrainState, Transition
from ...handlers import Journal, LimitBatches
from ..jobs.job import Job
from ..jobs.named_job import JobSource
from ..journals.journal_diff import diff_journals
from .state_diff import fingerprints, first_difference
from .verify_resume import BASELINE, DIFFERENCE, result_path

WHOLE, RESUMED = "whole", "resumed"
"""The names of the journals of an uninterrupted fit, and of a resumed one."""


def main(request: str, folder: str, epochs: str, batches: str, *ignored: str) -> None:
    """Run the uninterrupted fit, then resume it from each boundary; write results to `folder`."""
    results = Path(folder)
    source = JobSource.of_request(request)

    def new_check() -> ResumeCheck:
        job = source.create()
        valid = None if job.valid_loader is None else int(batches)
        job.trainer.attach(LimitBatches(int(batches), valid))
        return ResumeCheck(job, results, ignored)

    def resume(number: int) -> dict[str, Any]:
        return new_check().resume(number, baseline)

    _run_in_fork(results / BASELINE, lambda: new_check().run_baseline(int(epochs)))
    baseline = json.loads((results / BASELINE).read_text())
    for number in range(len(baseline.get("boundaries", ()))):
        _run_in_fork(result_path(results, number), partial(resume, number))
    if (differing := _first_differing(results)) is not None:
        _run_in_fork(results / WHOLE, lambda: new_check().write_journal(epochs=int(epochs)))
        _run_in_fork(results / RESUMED, lambda: new_check().write_journal(resume=differing))
        _run_in_fork(results / DIFFERENCE, lambda: compare_journals(results))


def _first_differing(results: Path) -> int | None:
    """The number of the first boundary whose resumed fit differs, and raises nothing."""
    number = 0
    while (path := result_path(results, number)).exists():
        if json.loads(path.read_text()).get("difference"):
            return number
        number += 1
    return None


def compare_journals(folder: Path) -> dict[str, Any]:
    """The first difference of the two journals, as text; empty if they have none."""
    found = diff_journals(folder / f"{WHOLE}.jsonl", folder / f"{RESUMED}.jsonl").difference
    return {"first": "" if found is None or found.name == "end" else str(found)}


def _run_in_fork(path: Path, work: Callable[[], dict[str, Any]]) -> None:
    """Call `work` in a fork of this process, and write its result or its error to `path`."""
    child = os.fork() or _work_and_exit(path, work)
    _, status = os.waitpid(child, 0)
    if not path.exists():
        code = os.waitstatus_to_exitcode(status)
        path.write_text(json.dumps({"error": f"the process died with exit code {code}"}))


def _work_and_exit(path: Path, work: Callable[[], dict[str, Any]]) -> NoReturn:
    try:
        result = work()
    except BaseException as error:
        result = {"error": "".join(traceback.format_exception_only(error)).strip()}
    path.write_text(json.dumps(result))
    os._exit(0)


class ResumeCheck:
    """One fit: either the baseline, or a resumed fit that is compared with the baseline."""

    def __init__(self, job: Job, folder: Path, ignored: Collection[str]) -> None:
        self.job = job
        self.trainer = job.trainer
        self.folder = folder
        self.ignored = ignored

    def run_baseline(self, epochs: int) -> dict[str, Any]:
        """Run the fit without interruption; save the state at each boundary."""
        signals: list[str] = []
        boundaries: list[dict[str, Any]] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for transition in self._steps(epochs=epochs):
                signals.append(transition.trigger)
                if self._is_at_boundary():
                    state = self.trainer.state_dict()
                    torch.save(state, self.folder / f"{len(boundaries)}.pt")
                    boundary = {"n_signals": len(signals), "where": self._where()}
                    boundaries.append({**boundary, "parts": fingerprints(state)})
            end = self._parts()
        return {
            "signals": signals,
            "boundaries": boundaries,
            "end": end,
            "warnings": list(dict.fromkeys(str(warning.message) for warning in caught)),
        }

    def resume(self, number: int, baseline: dict[str, Any]) -> dict[str, Any]:
        """Resume the fit from a boundary; stop at its first difference from the baseline."""
        boundaries = iter(baseline["boundaries"][number:])
        saved = torch.load(self.folder / f"{number}.pt", weights_only=True)
        restored: list[str] = []  # the difference right after the restore, before an activity runs

        def compare_first(activity: Callable[[TrainState], str]) -> Callable[[TrainState], str]:
            def compare_then_run(state: TrainState) -> str:
                if not restored:
                    restored.append(self._difference(next(boundaries)["parts"]))
                return activity(state)

            return compare_then_run

        self.trainer.wrap(self._activity_name(saved["phase"]), compare_first)
        expected = iter(baseline["signals"][baseline["boundaries"][number]["n_signals"] :])
        for transition in self._steps(resume=saved):
            signal = next(expected, "nothing")
            if restored[0]:
                return {"difference": restored[0], "where": "at once"}
            if signal != transition.trigger:
                return self._result(f"signal {transition.trigger} instead of {signal}")
            if self._is_at_boundary():
                difference = self._difference(next(boundaries)["parts"])
                if difference:
                    return self._result(difference)
        missing = next(expected, "")
        return self._result(
            f"no signal {missing}" if missing else self._difference(baseline["end"])
        )

    def write_journal(self, epochs: int | None = None, resume: int | None = None) -> dict[str, Any]:
        """Run the fit, from the beginning or from a boundary, with a journal that says who writes.

        The fits that are compared have none: who listens to every signal may change what runs.
        """
        name = WHOLE if resume is None else RESUMED
        self.trainer.attach(Journal(self.folder / f"{name}.jsonl", blame=True))
        saved = None
        if resume is not None:
            saved = torch.load(self.folder / f"{resume}.pt", weights_only=True)
        for _ in self._steps(epochs=epochs, resume=saved):
            pass
        return {}

    def _steps(self, **options: Any) -> Iterator[Transition]:
        return self.trainer.steps(self.job.train_loader, self.job.valid_loader, **options)

    def _is_at_boundary(self) -> bool:
        state = self.trainer.state
        return "." in state.phase and state.at_boundary and not self.trainer.is_closing

    def _activity_name(self, phase: str) -> str:
        path = "." + phase.removesuffix(".run")
        names = (name for name in self.trainer.activities if path.endswith(f".{name}"))
        return max(names, key=len)

    def _parts(self) -> dict[str, str]:
        return fingerprints(self.trainer.state_dict())

    def _difference(self, expected: dict[str, str]) -> str:
        return first_difference(expected, self._parts(), self.ignored)

    def _result(self, difference: str) -> dict[str, Any]:
        return {"difference": difference, "where": self._where()}

    def _where(self) -> str:
        state = self.trainer.state
        batches = "" if state.batch_index < 0 else f", after {state.batch_index + 1} batches"
        epoch = "" if state.epoch < 0 else f" of epoch {state.epoch + 1}"
        return f"{state.phase}{epoch}{batches}"


if __name__ == "__main__":
    given, sys.orig_argv = json.load(sys.stdin)
    main(given, *sys.argv[1:])
