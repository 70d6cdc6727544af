"""A trace of some training batches, down to the kernels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from torch.profiler import ProfilerAction, profile, record_function, schedule

from ...events import RehearsalPlan, TrainerProtocol, TrainState, Transition
from ...events.utils.argument_checks import check_whole_number
from ...events.utils.log import log
from .._copying import LeftOut, nothing
from .._stateful import Stateful

_RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


class Profiler(Stateful):
    """Records some training batches with `torch.profiler`, labelled with the phases of the fit.

    The trace, for Perfetto or chrome://tracing, is written after the last recorded batch, or when
    the fit ends if that is earlier. Each fit writes its own file: `trace.json`, `trace-1.json` and
    so on; older files with these names are replaced. A fit resumed in another process starts a new
    trace there.

    Signals: any_transition, begin_fit, after_fit
    Reads: training, outcome
    Writes: a Chrome trace file
    Cost: no sync of its own; while recording, the cost of torch.profiler
    Does not: count batches of validation, or sum up what it has recorded

    Args:
        path: file of the trace; its folder is created if missing. `.json.gz` is compressed.
        wait: training batches of a fit before the warm-up of the profiler, from 0.
        warmup: batches in which the profiler runs without recording, from 1.
        active: batches to record, from 1.

    Attributes:
        files: the written traces.

    Raises:
        TypeError, ValueError: a number of batches is out of range.
    """

    reads = ("training", "outcome")

    on_error = "detach"

    left_out: ClassVar[LeftOut] = {"_profile": nothing, "_phase": nothing}

    def __init__(
        self, path: str | Path = "trace.json", wait: int = 1, warmup: int = 1, active: int = 3
    ) -> None:
        for name, count, least in (("wait", wait, 0), ("warmup", warmup, 1), ("active", active, 1)):
            check_whole_number(f"Profiler({name}={count!r})", count, least)
        self.path = Path(path)
        self.files: list[Path] = []
        self._wait, self._warmup, self._active = wait, warmup, active
        self._profile: profile | None = None
        self._phase: record_function | None = None

    def rehearse(self, plan: RehearsalPlan) -> None:
        """Plan the trace; nothing is profiled."""
        plan.will_write(self.path)

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        before = len(self.files)
        plan = schedule(wait=self._wait, warmup=self._warmup, active=self._active, repeat=1)
        with profile(schedule=plan, on_trace_ready=self._write) as profiling:
            self._profile = profiling
            try:
                yield
            finally:
                self._close_phase()
                self._profile = None
        if len(self.files) == before and state.outcome == "completed":
            log.warning(
                "Profiler recorded nothing: it begins after %s batches", self._wait + self._warmup
            )

    def any_transition(
        self, trainer: TrainerProtocol, state: TrainState, transition: Transition
    ) -> None:
        if self._profile is None:
            return
        self._close_phase()
        if transition.trigger == "after_batch" and state.training:
            self._profile.step()
        if self._profile.current_action in _RECORDING:
            self._phase = record_function(transition.destination)
            self._phase.__enter__()  # type: ignore[no-untyped-call]

    def _close_phase(self) -> None:
        phase, self._phase = self._phase, None
        if phase is not None:
            phase.__exit__(None, None, None)

    def _write(self, recorded: profile) -> None:
        name, dot, suffixes = self.path.name.partition(".")
        number = f"-{len(self.files)}" if self.files else ""
        path = self.path.with_name(f"{name}{number}{dot}{suffixes}")
        path.parent.mkdir(parents=True, exist_ok=True)
        recorded.export_chrome_trace(str(path))
        self.files.append(path)
