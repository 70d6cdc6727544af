"""The processes of `verify_resume`: `python -m trackside.views.verify.resume_worker FACTORY …`.

This one imports what the fits need, and does nothing else; each fit runs in a copy of it, so that
none finds anything that another one has left.
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
from typing import Any

import torch
import torch._dynamo  # what optimizers import when they are made, for a second in each copy

from ...events import TrainState, Transition
from ...handlers import LimitBatches
from ..jobs.import_target import find_factory
from ..jobs.job import Job
from ..jobs.job_factory import make_job
from .state_diff import fingerprints, first_difference
from .verify_resume import WHOLE, result_of


def main(target: str, folder: str, epochs: str, batches: str, *ignored: str) -> None:
    """Run the fit, and the rest of it from each boundary; leave what came of it in `folder`."""
    here = Path(folder)
    factory = find_factory(target)

    def check() -> Check:
        job = make_job(factory, target)
        job.trainer.attach(LimitBatches(int(batches), int(batches)))
        return Check(job, here, ignored)

    def rest(number: int) -> dict[str, Any]:
        return check().rest(number, whole)

    _in_a_copy(here / WHOLE, lambda: check().whole(int(epochs)))
    whole = json.loads((here / WHOLE).read_text())
    for number in range(len(whole.get("boundaries", ()))):
        _in_a_copy(result_of(here, number), partial(rest, number))


def _in_a_copy(result: Path, work: Callable[[], dict[str, Any]]) -> None:
    """Do `work` in a fork of this process, and write what it gives, or raises, to `result`."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if not result.exists():
            code = os.waitstatus_to_exitcode(status)
            result.write_text(json.dumps({"error": f"the process died with exit code {code}"}))
        return
    try:
        found = work()
    except BaseException as error:
        found = {"error": "".join(traceback.format_exception_only(error)).strip()}
    result.write_text(json.dumps(found))
    os._exit(0)


class Check:
    """One fit, of which the parts of its state are recorded, or compared, at each boundary."""

    def __init__(self, job: Job, folder: Path, ignored: Collection[str]) -> None:
        self.job = job
        self.trainer = job.trainer
        self.folder = folder
        self.ignored = ignored

    def whole(self, epochs: int) -> dict[str, Any]:
        """The fit that nothing stops; writes the state at each boundary."""
        signals: list[str] = []
        boundaries: list[dict[str, Any]] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for transition in self._steps(epochs=epochs):
                signals.append(transition.trigger)
                if self._is_at_boundary():
                    state = self.trainer.state_dict()
                    torch.save(state, self.folder / f"{len(boundaries)}.pt")
                    place = {"sent": len(signals), "where": self._where()}
                    boundaries.append({**place, "parts": fingerprints(state)})
            end = self._parts()
        return {
            "signals": signals,
            "boundaries": boundaries,
            "end": end,
            "warnings": list(dict.fromkeys(str(warning.message) for warning in caught)),
        }

    def rest(self, number: int, whole: dict[str, Any]) -> dict[str, Any]:
        """The fit that goes on at a boundary, up to where it first differs from the whole one."""
        boundaries = iter(whole["boundaries"][number:])
        saved = torch.load(self.folder / f"{number}.pt", weights_only=True)
        first: list[str] = []

        def look(activity: Callable[[TrainState], str]) -> Callable[[TrainState], str]:
            def looking(state: TrainState) -> str:
                if not first:
                    first.append(self._difference(next(boundaries)["parts"]))
                return activity(state)

            return looking

        self.trainer.wrap(self._activity_of(saved["phase"]), look)
        expected = iter(whole["signals"][whole["boundaries"][number]["sent"] :])
        for transition in self._steps(resume=saved):
            signal = next(expected, "nothing")
            if first[0]:
                return {"difference": first[0], "where": "at once"}
            if signal != transition.trigger:
                return self._found(f"signal {transition.trigger} instead of {signal}")
            if self._is_at_boundary():
                difference = self._difference(next(boundaries)["parts"])
                if difference:
                    return self._found(difference)
        missing = next(expected, "")
        return self._found(f"no signal {missing}" if missing else self._difference(whole["end"]))

    def _steps(self, **options: Any) -> Iterator[Transition]:
        return self.trainer.steps(self.job.train_loader, self.job.valid_loader, **options)

    def _is_at_boundary(self) -> bool:
        state = self.trainer.state
        return "." in state.phase and state.at_boundary and not self.trainer.is_closing

    def _activity_of(self, phase: str) -> str:
        names = (name for name in self.trainer.activities if f".{phase}".endswith(f".{name}"))
        return max(names, key=len)

    def _parts(self) -> dict[str, str]:
        return fingerprints(self.trainer.state_dict())

    def _difference(self, expected: dict[str, str]) -> str:
        return first_difference(expected, self._parts(), self.ignored)

    def _found(self, difference: str) -> dict[str, Any]:
        return {"difference": difference, "where": self._where()}

    def _where(self) -> str:
        state = self.trainer.state
        batches = "" if state.batch_index < 0 else f", after {state.batch_index + 1} batches"
        return f"{state.phase} of epoch {state.epoch}{batches}"


if __name__ == "__main__":
    main(*sys.argv[1:])
