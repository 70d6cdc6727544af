"""The rows from the live `forward` to its `backward`, and what stands between them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from ...events import Publisher, any_transition
from ...events.bus.order import owner_of, receiver_name
from ..statechart.compiled_table import Activity, LeafPhase, TableRow
from .activities import backward, forward, loss
from .activity_registry import ActivityRegistry, path_ends

_PARTS: tuple[tuple[str, Activity | None, str], ...] = (
    ("forward", forward, "after_pred"),
    ("loss", loss, "after_loss"),
    ("scored", None, "begin_backward"),
    ("backward", backward, ""),
)
"""For each phase of the stretch its activity, None for any default, and the row out of it."""


class QuietStretch:
    """See `events.trainer_protocol.Stretch`.

    Args:
        rows: in order.
        fixed: the obstacles that stay until a wrap or the run changes.
    """

    def __init__(self, sender: Publisher, rows: Sequence[TableRow], fixed: Sequence[str]) -> None:
        self._sender = sender
        self._rows = tuple(rows)
        self._fixed = tuple(fixed)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing stands between, and no signal of its rows has a receiver now."""
        if self._fixed:
            return False
        for row in self._rows:  # noqa: SIM110  # a generator would be an object each batch
            if row.receivers:
                return False
        return True

    def obstacles(self) -> list[str]:
        """What stands between, in words, without repetition; empty if nothing does."""
        return list(dict.fromkeys([*self._fixed, *self._receivers()]))

    def _receivers(self) -> Iterator[str]:
        for row in self._rows:
            if not row.receivers:
                continue
            own = row.signal.arranged(self._sender)
            of_any = any_transition.arranged(self._sender) if len(own) < len(row.receivers) else []
            for signal, receivers in ((any_transition, of_any), (row.signal, own)):
                for ordered in receivers:
                    yield f"{receiver_name(ordered.receiver)} receives {signal.name}"


def find_stretch(
    sender: Publisher,
    table: Mapping[str, LeafPhase],
    phase: str,
    registry: ActivityRegistry,
    given: Collection[str],
    owner: object,
    others: Sequence[str] = (),
) -> QuietStretch:
    """The stretch that begins with the activity of `phase`, as it is in the compiled table.

    Args:
        given: names of the activities that the author of the chart gave.
        owner: the handler whose own wraps do not count.
        others: obstacles that are known already.
    """
    rows: list[TableRow] = []
    fixed = list(others)
    leaf = table[phase]
    for name, own, trigger in _PARTS:
        if path_ends(leaf.phase)[0] != name:
            fixed.append(f"the chart goes on to {leaf.phase} in place of {name}")
            break
        fixed += _obstacles_in(leaf.phase, name, own, registry, given, owner)
        row = leaf.activity_rows.get(trigger)
        if trigger and row is None:
            fixed.append(f"the machine has a condition or a callback at {trigger}, or no such row")
            break
        if row is not None:
            rows.append(row)
            leaf = row.leaf
    return QuietStretch(sender, rows, fixed)


def _obstacles_in(
    phase: str,
    name: str,
    own: Activity | None,
    registry: ActivityRegistry,
    given: Collection[str],
    owner: object,
) -> Iterator[str]:
    is_own = (
        registry.name_for(phase) not in given if own is None else registry.base_of(phase) is own
    )
    if not is_own:
        yield f"the activity {name} is not the trainer's own"
    for wrapper in registry.wraps_of(phase):
        if owner_of(wrapper) is not owner:
            yield f"{receiver_name(wrapper)} wraps {name}"
