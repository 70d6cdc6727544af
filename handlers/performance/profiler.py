"""Where the time of a fit goes, down to the kernels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch.profiler import profile, record_function, schedule
from torch.profiler.profiler import ProfilerAction

from ...events import TrainerProtocol, TrainState, Transition
from ...events.log import log
from .._stateful import Saved

_RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


class Profiler(Saved):
    """Records some training batches with `torch.profiler`, with the phases of the fit by name.

    The trace, to be opened in Perfetto or chrome://tracing, is written when the batches are over,
    or the fit is if that comes first. Each fit has its own: `trace.json`, `trace-1.json` and so on;
    files of that name from earlier are replaced. A fit that goes on in another process is recorded
    there anew.

    Signals: any_transition, begin_fit, after_fit
    Reads: training, outcome
    Writes: a Chrome trace file
    Cost: no sync of its own; while it records, that of torch.profiler

    Args:
        path: of the trace; its folder is made if there is none. `.json.gz` is compressed.
        wait: training batches of a fit before the profiler is warmed up, from 0.
        warmup: batches that it runs without recording, from 1.
        active: batches that it records, from 1.

    Attributes:
        files: the traces written.

    Raises:
        TypeError, ValueError: a number of batches is out of range.
    """

    on_error = "detach"

    def __init__(
        self, path: str | Path = "trace.json", wait: int = 1, warmup: int = 1, active: int = 3
    ) -> None:
        for name, count, least in (("wait", wait, 0), ("warmup", warmup, 1), ("active", active, 1)):
            if isinstance(count, bool) or not isinstance(count, int):
                raise TypeError(f"Profiler({name}={count!r}): allowed: an int, from {least}")
            if count < least:
                raise ValueError(f"Profiler({name}={count}): allowed: an int, from {least}")
        self.path = Path(path)
        self.files: list[Path] = []
        self._schedule = schedule(wait=wait, warmup=warmup, active=active, repeat=1)
        self._first = wait + warmup
        self._profile: profile | None = None
        self._phase: record_function | None = None

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        before = len(self.files)
        with profile(schedule=self._schedule, on_trace_ready=self._write) as profiling:
            self._profile = profiling
            try:
                yield
            finally:
                self._leave()
                self._profile = None
        if len(self.files) == before and state.outcome == "completed":
            log.warning("Profiler recorded nothing: it begins after %s batches", self._first)

    def any_transition(
        self, trainer: TrainerProtocol, state: TrainState, transition: Transition
    ) -> None:
        if self._profile is None:
            return
        self._leave()
        if transition.trigger == "after_batch" and state.training:
            self._profile.step()
        if self._profile.current_action in _RECORDING:
            self._phase = record_function(transition.destination)
            self._phase.__enter__()  # type: ignore[no-untyped-call]

    def _leave(self) -> None:
        phase, self._phase = self._phase, None
        if phase is not None:
            phase.__exit__(None, None, None)

    def _write(self, recorded: profile) -> None:
        name, dot, endings = self.path.name.partition(".")
        number = f"-{len(self.files)}" if self.files else ""
        path = self.path.with_name(f"{name}{number}{dot}{endings}")
        path.parent.mkdir(parents=True, exist_ok=True)
        recorded.export_chrome_trace(str(path))
        self.files.append(path)
