"""The loop of a run of several ranks, which act alike on what any of them has raised."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

from ...events import Agreement, Publisher, TrainState, Transition
from ..closing.unwinding import Unwinding
from ..loop.run_loop import RunLoop
from ..statechart.composition import Chart
from .agreed_activities import AgreedActivities
from .ballot import Ballot
from .raised_apart import AgreedRaise
from .wished_votes import WishedVotes


class AgreedRun:
    """The context of a run of several ranks: what it raises is recorded until a vote.

    A run that cannot begin leaves the votes, so that the others do not wait for it.

    Attributes:
        ballot: what this rank says at the next vote.
        activities: wraps those of the run.
        has_begun: whether its loop was made.
    """

    def __init__(
        self, sender: Publisher, state: TrainState, agreement: Agreement, chart: Chart
    ) -> None:
        self._sender = sender
        unit = chart.scope("unit")
        self.ballot = Ballot(agreement, state, WishedVotes(chart.votes or (), unit))
        self.activities = AgreedActivities(self.ballot, unit)
        self.has_begun = False
        self._stop_recording: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        self._stop_recording = self._sender.instrument(self.ballot.recording)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            if error is not None and not self.has_begun:
                self.ballot.leave()
        finally:
            self.ballot.lost = True
            self._stop_recording()


def agreed_context(
    sender: Publisher, state: TrainState, agreement: Agreement | None, chart: Chart
) -> AbstractContextManager[AgreedRun | None]:
    """The context of a run; without an agreement it does nothing."""
    return nullcontext() if agreement is None else AgreedRun(sender, state, agreement, chart)


class AgreeingLoop(RunLoop):
    """A loop in which a request waits for a vote, an unwinding votes, and so does the end.

    What is raised outside of receivers and activities, such as an interrupt, cannot wait: this
    rank then leaves the votes, closes its scopes alone, and the others fail at their next vote.
    """

    def __init__(self, run: AgreedRun, *of_a_loop: Any) -> None:
        super().__init__(*of_a_loop)
        self._ballot = run.ballot
        self._activities = run.activities
        self._activities.stepwise = self.stepwise
        self._activities.begin(self.table)
        run.has_begun = True

    def run(self) -> Generator[Transition, None, None]:
        """Run to the end; what is raised at the last signal is agreed on, too."""
        yield from super().run()
        while self.failure is None and self._disagrees_with_the_end():
            yield from super().run()

    def _disagrees_with_the_end(self) -> bool:
        ballot = self._ballot
        if ballot.lost or not self._activities.votes_before(self.state.phase):
            return False
        self.leaf = self.table[self.state.phase]
        ended: BaseException | None = None
        try:
            if raised := ballot.vote():
                ended = AgreedRaise(raised)
        except BaseException as error:
            ended = error
        ballot.settled = True
        self._raised = [] if ended is None else [(ended, True, None, (), None)]
        return ended is not None

    def _apply_requests(self, can_wait: bool) -> None:
        ballot, phase = self._ballot, self.state.phase
        if ballot.lost or not self.requests.waiting:
            super()._apply_requests(can_wait)
        elif self._activities.votes_before(phase):
            ballot.asks = False
            try:
                super()._apply_requests(can_wait)
            except BaseException as requested:
                ballot.record(requested)
        else:
            ballot.asks = True

    def _send_reports(self) -> None:
        if self._ballot.lost:
            super()._send_reports()
            return
        try:
            super()._send_reports()
        except BaseException as error:
            self._ballot.record(error, self._reporting[1])
            self._reporting = (), None

    def _unwind(self) -> Generator[Transition, None, None]:
        """Close scopes from where the vote was opened: what this rank did since is taken back."""
        for error, *_ in self._raised:
            if type(error) is AgreedRaise and error.phase:
                self.leaf = self.table[error.phase]
                self.state.phase = error.phase
        yield from super()._unwind()

    def _take_raised(self, unwinding: Unwinding) -> None:
        if self._raised:
            self._raised = list(self._agreed(self._raised))
            super()._take_raised(unwinding)

    def _agreed(self, raised: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """What all ranks have raised; before anything else this rank leaves the votes."""
        for entry in raised:
            if type(entry[0]) is AgreedRaise:
                yield from (tuple(one) for one in entry[0].raised)
            else:
                self._ballot.leave()
                yield from (tuple(one) for one in self._ballot.take_recorded(entry[0]))
                yield entry

    def _settle(self, sent: Transition | None) -> None:
        """Vote after a signal of an unwinding."""
        ballot = self._ballot
        if ballot.lost or sent is None:
            return
        ballot.settled = True
        if sent.trigger in ballot.wanted and (raised := ballot.vote()):
            self._raised = [*self._raised, (AgreedRaise(raised), True, None, (), None)]
        ballot.go_on()
