"""The metrics of a run: what is assigned to them is reported, under one name each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from .utils.similar_names import did_you_mean

_ALLOWED = "a number, a str, None, a tensor or array, or lists and mappings of those"


class Reports:
    """What has been reported since the signal `reported` was last sent.

    Attributes:
        pending: values by name.
        notify: called after a value was added; the engine sets it.
    """

    __slots__ = ("notify", "pending")

    def __init__(self) -> None:
        self.pending: dict[str, Any] = {}
        self.notify: Callable[[], None] = _ignore

    def __reduce__(self) -> tuple[Any, ...]:
        return Reports, ()  # a copy belongs to no engine

    def add(self, name: str, value: Any) -> None:
        """Add one value; it is sent before the next activity."""
        self.pending[name] = value
        self.notify()

    def take(self) -> dict[str, Any]:
        """Return what is pending, and begin with nothing."""
        pending, self.pending = self.pending, {}
        return pending


class ReportedMetrics(dict[str, Any]):
    """A dict in which every assigned value becomes plain, and is reported.

    Args:
        reports: where its values are added.
        values: present values; they are not reported.

    Raises:
        TypeError: at an assignment; names the metric, what was found, what is allowed.
    """

    __slots__ = ("_reports",)

    def __init__(self, reports: Reports, values: Mapping[str, Any] | None = None) -> None:
        super().__init__(values or {})
        self._reports = reports

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # a copy reports nothing

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, *others: Any, **values: Any) -> None:
        """Assign several values; none of them, if one is refused."""
        assigned = dict(*others, **values).items()
        plain = [entry for name, value in assigned for entry in plain_metric(name, value)]
        for name, value in plain:
            super().__setitem__(name, value)
            self._reports.add(name, value)

    def __ior__(self, others: Any) -> ReportedMetrics:  # type: ignore[override,misc]  # dict's returns Self, by two overloads
        self.update(others)
        return self

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Assign a value that is not there yet; returns the present one."""
        if name not in self:
            self[name] = default
        return self[name]


def plain_metric(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    """Yield names and values that a checkpoint and a logger can write.

    The entries of a mapping have joined names, `all_accuracy`. A tensor is detached and not read.

    Raises:
        TypeError: the name is not a str, or a value is no data.
    """
    if not isinstance(name, str):
        raise TypeError(
            f"state.report: found the name {name!r}, a {type(name).__name__}; allowed: str"
        )
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from plain_metric(f"{name}_{key}", part)
    else:
        yield name, _plain(name, value)


def _plain(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Real):  # numpy's scalars, too
        return int(value) if isinstance(value, Integral) else float(value)
    if hasattr(value, "detach"):
        return value.detach()
    if hasattr(value, "tolist"):
        return _plain(name, value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(name, part) for part in value]
    raise TypeError(f"state.report({name}=…): found a {type(value).__name__}; allowed: {_ALLOWED}")


def missing_metric(owner: str, name: str, known: Collection[str], epoch: int) -> str:
    """The message about a metric that nobody has reported, with the most similar name."""
    near = did_you_mean(name, known, cutoff=0.5)  # val_loss
    return (
        f"{owner} found no metric {name!r} after epoch {epoch + 1}{near}; there are: "
        f"{', '.join(known) or 'none (attach Metrics)'}"
    )


def _ignore() -> None:
    """Outside of an engine nobody sends what is reported."""
