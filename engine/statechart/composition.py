"""Charts as values: rows and roles, and the operations that make one chart of another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TypeVar, overload

from ...events.roles import STANDARD_ROLES, Role
from .chart_error import ChartError
from .cutting import reachable, without_sources
from .dissolving import Shortcut, dissolve
from .nesting import nest
from .optimizer_update import Update
from .phase_paths import Row, enclosing, inside, lifted, scope_name, sources
from .renaming import rename
from .scope_roles import (
    STANDARD_VOTES,
    check_roles,
    checked_row,
    checked_votes,
    require_free,
    require_scope,
    standard_roles,
)

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Chart(Sequence[Row]):
    """The rows of a machine, and the roles of its scopes; a value: no method changes it.

    Args:
        rows: (trigger, source or sources, destination) each; see `chart`.
        roles: what a scope is for, by its name: "run" (outermost), "round" (an epoch), "pass" (over
            a loader), "unit" (a batch), "update" (of an optimizer), "evaluation". Engine,
            checkpoints and handlers ask for the role, never for the name. Several scopes may be
            updates or evaluations. Without any role the standard names have theirs, and the
            outermost scope is the run.
        of: the name of the model and of the optimizer that a scope trains, by its name.
        every: the updates that are made on every n-th batch only, by the name of the scope.
        follows: what the activity of a phase returns unless another one is given, by its path.
        shortcuts: triggers of scopes that were taken out: the phase whose activity decides instead.
        origins: the paths that phases had in a scope that was taken out; they keep its activities.
        votes: triggers after whose signal the ranks of one training vote in any case, by default
            `after_loss`, before the gradients. They vote also after each signal that some rank
            listens to, and on what follows a phase outside of the unit. One process votes never.

    Raises:
        ChartError: a role is unknown, is that of two scopes, or of a scope that is not there; no
            row has a trigger of `votes`.
    """

    rows: tuple[Row, ...]
    roles: Mapping[str, Role] = field(default_factory=dict)
    of: Mapping[str, str] = field(default_factory=dict)
    every: Mapping[str, int] = field(default_factory=dict)
    follows: Mapping[str, str] = field(default_factory=dict)
    shortcuts: Mapping[str, Shortcut] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    votes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(checked_row(row) for row in self.rows))
        names = list(dict.fromkeys(map(scope_name, self.scopes)))
        if not self.roles:
            object.__setattr__(self, "roles", standard_roles(self.scopes, names))
        check_roles(self.roles, names)
        for name in self.of:
            require_scope(f"of={{{name!r}: …}}", name, names)
        triggers = [row[0] for row in self.rows]
        standard = tuple(trigger for trigger in STANDARD_VOTES if trigger in triggers)
        votes = standard if self.votes is None else checked_votes(self.votes, triggers)
        object.__setattr__(self, "votes", votes)

    def __repr__(self) -> str:
        return f"<Chart of {scope_name(self.scopes[0])}: {len(self.rows)} rows>"

    @cached_property
    def scopes(self) -> tuple[str, ...]:
        """The paths of the composite phases, in the order of the rows."""
        return tuple(dict.fromkeys(c for row in self.rows for c in enclosing(row[2])[::-1]))

    def scope(self, role: Role) -> str | None:
        """The name of the first scope that has a role; None: there is no such scope."""
        return next((name for name, other in self.roles.items() if other == role), None)

    def plus(self, rows: Iterable[Row], roles: Mapping[str, Role] | None = None) -> Chart:
        """This chart and more rows, with roles for scopes that they add."""
        return replace(self, rows=(*self.rows, *rows), roles={**self.roles, **(roles or {})})

    def without(self, scope: str) -> Chart:
        """This chart with a scope taken out; what is in it stays, one level further out.

        Its signals are gone. `SUPERVISED.without("epoch")` trains and validates with no rounds.
        """
        path = self.path(scope)
        rows, shortcuts = dissolve(self.rows, path)
        moved = [row[2] for row in self.rows if inside(row[2], path)]
        return replace(
            self,
            rows=rows,
            roles=self._roles_in(rows),
            of=self._still(self.of, rows),
            votes=self._votes_in(rows),
            follows={lifted(at, path): trigger for at, trigger in self.follows.items()},
            shortcuts={
                **{
                    trigger: Shortcut(phase, tuple(lifted(at, path) for at in returning))
                    for trigger, (phase, returning) in self.shortcuts.items()
                },
                **shortcuts,
            },
            origins={
                **{lifted(at, path): old for at, old in self.origins.items()},
                **{lifted(at, path): self.origins.get(at, at) for at in moved},
            },
        )

    def cut(self, scope: str) -> Chart:
        """This chart without a scope and everything in it."""
        path = self.path(scope)
        if "." not in path:
            raise ChartError(f"cut({scope!r}): the outermost scope cannot be taken out")
        if f"begin_{scope_name(path)}" in self.follows.values():
            raise ChartError(f"cut({scope!r}): it is an update; leave it out of replace(…)")
        rows = [without_sources(row, path) for row in self.rows if not inside(row[2], path)]
        kept = reachable([row for row in rows if row is not None])
        return self._with_rows(kept)

    def replace(self, scope: str, *updates: Update) -> Chart:
        """This chart with updates, one after the other, as the work of a scope.

        The scope gets a phase `ready`, and after each update a phase `<name>_done`, which begins
        the next one that is due; another activity for it may begin any of them, also once more.

        Raises:
            ChartError: there is no such scope, or no update; two updates have one name.
        """
        path = self.path(scope)
        names = [part.name for part in updates]
        if not names or len({*names}) < len(names):
            raise ChartError(f"replace({scope!r}, …): expected updates of different names, {names}")
        if "." not in path:
            raise ChartError(f"replace({scope!r}, …): the outermost scope keeps its own work")
        kept = [at for at in self.scopes if not at.startswith(f"{path}.")]
        for name in names:
            require_free(f"replace({scope!r}, {name})", name, [*map(scope_name, kept)])
        pauses = tuple(f"{path}.{name}" for name in ("ready", *(f"{n}_done" for n in names)))
        rows = [
            (row[0], row[1], pauses[0])
            if row[0] == f"begin_{scope_name(path)}" and inside(row[2], path)
            else row
            for row in self.rows
            if not _is_work_inside(row, path)
        ]
        for part, done in zip(updates, pauses[1:], strict=True):
            inner = f"{path}.{part.name}"
            rows.append((f"begin_{part.name}", pauses, f"{inner}.forward"))
            rows += part.rows(inner)
            rows.append((f"after_{part.name}", inner, done))
        triggers = (*(f"begin_{name}" for name in names), f"after_{scope_name(path)}")
        owners = {part.name: part.of for part in updates if part.of is not None}
        return replace(
            self,
            rows=tuple(rows),
            roles={**self._roles_in(rows), **dict.fromkeys(names, "update")},
            of={**self._still(self.of, rows), **owners},
            votes=self._votes_in(rows),
            every={**self.every, **{part.name: part.every for part in updates}},
            follows={**self.follows, **dict(zip(pauses, triggers, strict=True))},
        )

    def inside(self, path: str) -> Chart:
        """This chart as the work of outer scopes: `SUPERVISED.inside("folds.fold")`.

        Each outer scope has a phase `ready`, whose activity begins the next one inside or closes
        it. By default that of the innermost begins this chart's run, as a new fit does: counters,
        metrics, notes and gradients are reset. Behind the run is a phase `done`, whose activity by
        default closes the innermost scope.
        """
        names = path.split(".")
        around = {f"{path}.ready": self.rows[0][0], f"{path}.done": f"after_{names[-1]}"}
        return replace(
            self,
            rows=nest(self.rows, self.scopes, names),
            roles={names[0]: "run", **{n: role for n, role in self.roles.items() if role != "run"}},
            follows={f"{path}.{at}": trigger for at, trigger in self.follows.items()} | around,
            shortcuts={
                trigger: Shortcut(f"{path}.{phase}", tuple(f"{path}.{at}" for at in returning))
                for trigger, (phase, returning) in self.shortcuts.items()
            },
            origins={f"{path}.{at}": old for at, old in self.origins.items()},
        )

    def renamed(self, names: Mapping[str, str]) -> Chart:
        """This chart with other names for some scopes, `{"epoch": "iteration"}`; roles stay.

        Raises:
            ChartError: there is no such scope, a new name is taken or not an identifier, or is of
                an update (give that its name in `update`).
        """
        present = [*map(scope_name, self.scopes)]
        begun = {*self.follows.values()}
        for name, new in names.items():
            tried = f"renamed({{{name!r}: {new!r}}})"
            require_scope(tried, name, present)
            require_free(tried, new, present)
            if f"begin_{name}" in begun or self.shortcuts:
                raise ChartError(f"{tried}: rename before replace(…) and without(…)")
        following = rename([(trigger, at, at) for at, trigger in self.follows.items()], names)
        return replace(
            self,
            rows=rename(self.rows, names),
            roles={names.get(name, name): role for name, role in self.roles.items()},
            of={names.get(name, name): owner for name, owner in self.of.items()},
            follows={at: trigger for trigger, _, at in following},
            votes=tuple(
                row[0] for row in rename([(name, (), "") for name in self.votes or ()], names)
            ),
        )

    def path(self, scope: str) -> str:
        """The path of the scope that a name, or the end of a path, means.

        Raises:
            ChartError: there is none, or there are several.
        """
        found = [path for path in self.scopes if f".{path}".endswith(f".{scope}")]
        if not found:
            require_scope(repr(scope), scope, [*map(scope_name, self.scopes)])
        if len(found) > 1:
            raise ChartError(f"{scope!r} means several scopes: {', '.join(found)}; name one path")
        return found[0]

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, tuple):
            return self.rows == other
        if not isinstance(other, Chart):
            return NotImplemented
        return all(getattr(self, part.name) == getattr(other, part.name) for part in fields(self))

    def __hash__(self) -> int:
        return hash(self.rows)

    def _with_rows(self, rows: Iterable[Row]) -> Chart:
        return replace(
            self,
            rows=tuple(rows),
            roles=self._roles_in(rows),
            of=self._still(self.of, rows),
            votes=self._votes_in(rows),
        )

    def _votes_in(self, rows: Iterable[Row]) -> tuple[str, ...]:
        triggers = {row[0] for row in rows}
        return tuple(trigger for trigger in self.votes or () if trigger in triggers)

    def _roles_in(self, rows: Iterable[Row]) -> dict[str, Role]:
        return self._still(self.roles, rows)

    @staticmethod
    def _still(named: Mapping[str, T], rows: Iterable[Row]) -> dict[str, T]:
        """The entries of scopes that some rows still have."""
        left = {scope_name(c) for row in rows for c in enclosing(row[2])}
        return {name: value for name, value in named.items() if name in left}


def name_by_role(chart: Chart, name: str) -> str:
    """The name of a standard signal with the chart's own scope of the same role in it.

    `after_epoch` is `after_iteration` in a chart whose round is called iteration.
    """
    prefix, _, scope = name.rpartition("_")
    role = STANDARD_ROLES.get(scope)
    own = None if role is None else chart.scope(role)
    return name if own is None else f"{prefix}_{own}"


def _is_work_inside(row: Row, path: str) -> bool:
    """Whether a row stays inside a scope, and is not the one that cancels it."""
    cancels = row[0] == f"after_cancel_{scope_name(path)}"
    return not cancels and all(inside(phase, path) for phase in (*sources(row), row[2]))
