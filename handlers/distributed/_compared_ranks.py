"""What is told of each rank before a run: facts that must be equal, and what keeps it from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...events import PeerError

Facts = dict[str, Any]


def failed_text(error: BaseException) -> str:
    """An error as the other ranks are told of it; its class only, if it refuses its message."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def refuse_failed(ranks: Sequence[Mapping[str, Any]]) -> None:
    """Name the first rank that has `failed` among its facts.

    Raises:
        PeerError: there is one.
    """
    for rank, each in enumerate(ranks):
        if "failed" in each:
            raise PeerError(f"rank {rank} cannot begin the run: {each['failed']}", rank)


def refuse_places(ranks: Sequence[Mapping[str, str]]) -> None:
    """Compare where the ranks begin, which is `TrainerProtocol.begins` of each.

    Raises:
        RuntimeError: at different places; it says what they begin "from".
    """
    places = [{name: at for name, at in each.items() if name != "from"} for each in ranks]
    other = next((rank for rank, place in enumerate(places) if place != places[0]), None)
    if other is None:
        return
    found = f"rank {other} begins {ranks[other]['from']}, and rank 0 begins {ranks[0]['from']}"
    differences = [
        f"rank {other} has {name} {here}, rank 0 has {places[0][name]}"
        for name, here in places[other].items()
        if here != places[0].get(name, here)
    ]
    raise RuntimeError(f"the ranks disagree before the run: {'; '.join([found, *differences])}")


def refuse_differences(ranks: Sequence[Facts]) -> None:
    """Compare the facts of all ranks with those of rank 0.

    Raises:
        RuntimeError: names a rank, and what is different there; the same on all ranks.
    """
    first = ranks[0]
    found = [
        f"rank {rank} has {name} {_shown(here, there)}, rank 0 has {_shown(there, here)}"
        for rank, facts in enumerate(ranks)
        for name in dict.fromkeys([*first, *facts])
        if (here := facts.get(name)) != (there := first.get(name))
    ]
    if found:
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        raise RuntimeError(f"the ranks disagree before the run: {'; '.join(found[:3])}{more}")


def _shown(value: Any, other: Any) -> str:
    """`value`, or those of its entries that differ."""
    if isinstance(value, dict) and isinstance(other, dict):
        own = {name: kept for name, kept in value.items() if other.get(name) != kept}
        return str(dict(list(own.items())[:2]))
    if isinstance(value, list) and isinstance(other, list):
        return str([entry for entry in value if entry not in other] or value)
    return str(value)
