"""The activities of a run of several ranks: votes before them, and on what they choose."""

from __future__ import annotations

from collections.abc import Iterator

from ...events import TrainState
from ..batches.batch import clear_batch
from ..loop.activity_registry import path_ends
from ..statechart.compiled_table import Activity, LeafPhase, Table
from ..statechart.phase_paths import closes_scope, enclosing, scope_name
from .ballot import Ballot
from .raised_apart import AgreedRaise
from .vote_exchange import BEHIND, CLOSES


class AgreedActivities:
    """Wraps the activities of a run, outside every other wrap.

    Args:
        unit: the name of the scope of a batch, inside of which nothing is chosen.

    Attributes:
        stepwise: whether a host drives the run.
    """

    def __init__(self, ballot: Ballot, unit: str | None) -> None:
        self._ballot = ballot
        self._unit = unit
        self.stepwise = False
        self._entering: dict[str, set[str]] = {}
        self._taken = ""  # the last trigger

    def begin(self, table: Table) -> None:
        """Wrap the activities of `table`."""
        self._ballot.begin(table)
        for leaf in table.values():
            for trigger, row in leaf.rows.items():
                self._entering.setdefault(row.leaf.phase, set()).add(trigger)
        for leaf in table.values():
            leaf.replace_activity(self.wrapped(leaf, leaf.activity))

    def wrapped(self, leaf: LeafPhase, activity: Activity | None) -> Activity | None:
        """The activity of a leaf as all ranks run it: alike."""
        if activity is None:
            return None
        ballot, phase, run = self._ballot, leaf.phase, self._attempting(leaf, activity)
        choose = self._choosing(leaf, run) if self._decides(phase) else run
        is_backward = _is_backward(phase)

        def work(state: TrainState) -> str:
            if ballot.lost or state.phase != phase:  # a closure runs those of other phases
                return activity(state)
            if ballot.open_in and not is_backward:
                self._close_vote()
            if self.votes_before(phase):
                self._vote(leaf)
            ballot.settled = False
            ballot.go_on()
            self._taken = trigger = choose(state)
            if ballot.open_in and (is_backward or trigger != leaf.expected_trigger):
                self._close_vote()  # before the signal of a trigger that leads elsewhere
            return trigger

        return work

    def votes_before(self, phase: str) -> bool:
        """Whether the ranks vote before the activity of `phase`."""
        ballot, entering = self._ballot, self._entering.get(phase, ())
        if ballot.settled or ballot.is_muted:
            return bool(ballot.missed)
        if self._taken in entering:
            return self._taken in ballot.wanted
        return not ballot.wanted.isdisjoint(entering)

    def _vote(self, leaf: LeafPhase) -> None:
        ballot = self._ballot
        if self._leads_to_backward(leaf) and ballot.can_stay_open():
            ballot.open()
        elif raised := ballot.vote():
            raise AgreedRaise(raised)

    def _leads_to_backward(self, leaf: LeafPhase) -> bool:
        """Whether nothing is between a vote before the activity of `leaf` and the gradients."""
        if self.stepwise:  # the host has seen the transition to the backward pass
            return False
        trigger = leaf.expected_trigger
        if _is_backward(leaf.phase) or trigger is None or trigger in self._ballot.wanted:
            return _is_backward(leaf.phase)
        return _is_backward(leaf.expected_row.leaf.phase)

    def _close_vote(self) -> None:
        ballot = self._ballot
        opened = ballot.open_in
        if raised := ballot.close():
            ballot.agreement.undo_backward(ballot.state)
            raise AgreedRaise(raised, opened)

    def _attempting(self, leaf: LeafPhase, activity: Activity) -> Activity:
        """`activity`, after which the run goes on to the next vote, whatever it raises."""
        ballot, names = self._ballot, _names(leaf.phase)
        is_collective = any(name in ballot.agreement.collective for name in names)
        cleans_up = "zero_grad" in names
        expected = leaf.expected_trigger or next(iter(leaf.rows))

        def attempt(state: TrainState) -> str:
            if ballot.broken_off and not cleans_up:
                if is_collective:
                    ballot.stay_away()
                return expected
            try:
                trigger = activity(state)
                return trigger if trigger == leaf.expected_trigger else leaf.own_name(trigger)
            except BaseException as error:
                if ballot.lost:
                    raise
                ballot.break_off(error, is_collective)
                return expected

        return attempt

    def _decides(self, phase: str) -> bool:
        return self._unit is None or self._unit not in map(scope_name, enclosing(phase))

    def _choosing(self, leaf: LeafPhase, run: Activity) -> Activity:
        """`run`, and a vote on the trigger that it returns; what closes a scope wins."""
        ballot, codes = self._ballot, dict(_codes(leaf))
        chosen = {code: trigger for trigger, code in codes.items()}
        begins = codes.get(f"begin_{self._unit}")
        if begins is not None:
            chosen[BEHIND] = f"begin_{self._unit}"

        def choose(state: TrainState) -> str:
            counters = state.epoch, state.batch_index, state.samples
            agreed, own = 0, codes[run(state)]
            goes_on = own == begins and ballot.certain > 0
            if goes_on and (ballot.is_muted or not ballot.broken_off):
                ballot.certain -= 1
                agreed = own
            else:
                own = BEHIND if goes_on else own
                try:
                    agreed = ballot.choose(own)
                finally:
                    if agreed != own:  # what this rank has done is not done on the others
                        state.epoch, state.batch_index, state.samples = counters
                        clear_batch(state)
            if goes_on and ballot.broken_off:  # the batch begins without this rank
                state.epoch, state.batch_index, state.samples = counters
                state.batch_index += 1
                clear_batch(state)
            return chosen[agreed]

        return choose


def _names(phase: str) -> list[str]:
    """The names of the activity of `phase`; a retry calls the activity `forward`."""
    names = [*path_ends(phase)]
    return [*names, "forward"] if names[0] == "retry" else names


def _is_backward(phase: str) -> bool:
    return path_ends(phase)[0] == "backward"


def _codes(leaf: LeafPhase) -> Iterator[tuple[str, int]]:
    """The triggers of a leaf with their codes: the ranks follow the highest one."""
    for place, (trigger, row) in enumerate(leaf.rows.items(), 1):
        yield trigger, place + (CLOSES if closes_scope(row.transition) else 0)
