"""The roles of scopes, and the checks of rows and names of scopes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...events.roles import ROLES, STANDARD_ROLES, Role
from ...events.utils.similar_names import did_you_mean
from .chart_error import ChartError
from .phase_paths import Row

STANDARD_VOTES = ("after_loss",)
"""Before the gradients: what the forward pass of one rank has raised stops the others in time."""

_SEVERAL = ("update", "evaluation")


def checked_row(row: Sequence[object]) -> Row:
    """A row as tuples; it, and its sources, may have come as lists.

    Raises:
        ChartError: it is not (trigger, source or sources, destination).
    """
    match row:
        case [str(trigger), str(source), str(destination)]:
            return trigger, source, destination
        case [str(trigger), [*found], str(destination)] if found and all(
            isinstance(source, str) for source in found
        ):
            return trigger, tuple(map(str, found)), destination
    raise ChartError(f"row {row!r}: expected (trigger, source or sources, destination)")


def standard_roles(scopes: Iterable[str], names: Sequence[str]) -> dict[str, Role]:
    """The roles of the scopes with standard names; the only outermost one is the run."""
    roles = {name: role for name, role in STANDARD_ROLES.items() if name in names}
    outermost = {path for path in scopes if "." not in path}
    if "fit" not in outermost and len(outermost) == 1:
        return {**{n: r for n, r in roles.items() if r != "run"}, outermost.pop(): "run"}
    return roles


def check_roles(roles: Mapping[str, Role], names: Sequence[str]) -> None:
    """Refuse an unknown role, one of a scope that is missing, and one that two scopes claim."""
    for name, role in roles.items():
        if role not in ROLES:
            raise ChartError(
                f"roles={{{name!r}: {role!r}}}{did_you_mean(role, ROLES)}; "
                f"allowed: {', '.join(ROLES)}"
            )
        require_scope(f"roles={{{name!r}: {role!r}}}", name, names)
        claiming = [other for other, its in roles.items() if its == role]
        if len(claiming) > 1 and role not in _SEVERAL:
            raise ChartError(
                f"the role {role} is claimed by two scopes: {', '.join(claiming)}; "
                f"leave it to one of them, roles={{{claiming[0]!r}: {role!r}, …}}"
            )


def checked_votes(votes: Iterable[str], triggers: Sequence[str]) -> tuple[str, ...]:
    """The votes; one after a trigger that no row has is refused."""
    votes = tuple(votes)
    for trigger in votes:
        if trigger not in triggers:
            raise ChartError(
                f"votes={votes}: no row has the trigger {trigger!r}"
                f"{did_you_mean(trigger, triggers)}"
            )
    return votes


def require_scope(tried: str, name: str, names: Sequence[str]) -> None:
    """Refuse the name of a scope that is not one of `names`."""
    if name not in names:
        raise ChartError(
            f"{tried}: the chart has no scope {name!r}{did_you_mean(name, names)}; "
            f"scopes are {', '.join(dict.fromkeys(names))}"
        )


def require_free(tried: str, name: str, names: Sequence[str]) -> None:
    """Refuse a name for a new scope that is taken, or no identifier."""
    if not name.isidentifier() or name in names:
        raise ChartError(f"{tried}: {name!r}; allowed: an identifier that is no scope yet")
