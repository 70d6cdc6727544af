"""Find the first transition, or the first field, in which two journals differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...events.utils.flat_names import flat_names
from ..output.counted_place import counted_place
from .journal_reader import JournalError, JournalReader, Line, position_key

MEASURED = ("peak_memory",)
"""Reported values that are measured, so they differ between processes."""

_NOTHING = "nothing"


@dataclass(frozen=True)
class JournalDifference:
    """The first difference of two runs."""

    where: str
    """`step 412, after_loss (epoch 3, batch 57)`; epochs and batches are counted from 1."""
    name: str
    """The field that differs; or "transition", "end", "reason", "report of …"."""
    a: Any
    """What run A has."""
    b: Any
    """What run B has."""
    writers: str = ""
    """Who has written the field, of journals with `blame=True`."""

    def __str__(self) -> str:
        writers = f"; written by {self.writers}" if self.writers else ""
        return f"{self.where}: {self.name} differs{writers}\n  A: {self.a}\n  B: {self.b}"


@dataclass(frozen=True)
class JournalComparison:
    """The result of `diff_journals`."""

    difference: JournalDifference | None
    """None: all that both have written is equal."""
    transitions: int
    """How many transitions of both were compared."""
    notes: tuple[str, ...]
    """What could not be compared, and which files are cut off."""

    def __str__(self) -> str:
        first = self.difference or f"{self.transitions} transitions are equal in both"
        return "\n".join([str(first), *self.notes])


@dataclass
class _Moment:
    """A transition, with what was written and reported before the next."""

    line: Line
    writers: dict[str, list[str]] = field(default_factory=dict)
    reported: Line = field(default_factory=dict)


class _Run:
    """One of the two journals while they are read: the values that its fields have now."""

    def __init__(self, path: str | Path) -> None:
        self.reader = JournalReader(path)
        self.fields: Line = {}
        self._read = self._moments()
        self.now = next(self._read, None)

    def advance(self) -> None:
        self.now = next(self._read, None)

    @property
    def place(self) -> tuple[int, ...]:
        """How far the fit is."""
        line = self.now.line if self.now else {}
        return tuple(line.get(name, 0) for name in ("samples", "step", "epoch"))

    def _moments(self) -> Iterator[_Moment]:
        moment = None
        for line in self.reader:
            if "trigger" in line:
                if moment is not None:
                    yield moment
                moment = _Moment(line)
            self.fields |= line.get("fields", {})
            if moment is not None:
                self._add(moment, line)
        if moment is not None:
            yield moment

    def _add(self, moment: _Moment, line: Line) -> None:
        moment.reported |= line.get("reported", {})
        for name, value in line.get("wrote", {}).items():
            moment.writers.setdefault(name, []).append(line["by"])
            self.fields[name] = value


def diff_journals(
    a: str | Path, b: str | Path, ignored: Collection[str] = MEASURED
) -> JournalComparison:
    """Compare two journals, line by line and in constant memory.

    If one begins later than the other, as that of a resumed fit, the other is read up to the
    transition with the same counters first.

    Args:
        ignored: names of fields and reported values that may differ.

    Raises:
        JournalError: a file is not a journal; or no transition of one is in the other.
    """
    runs = _Run(a), _Run(b)
    common = _common_fields(runs[0].reader.header, runs[1].reader.header, ignored)
    notes = _align(*sorted(runs, key=lambda run: run.place))
    count, difference = 0, None
    while difference is None and (runs[0].now or runs[1].now):
        difference = _difference(*runs, common, ignored)
        count += difference is None
        for run in runs:
            run.advance()
    return JournalComparison(difference, count, (*notes, *_notes(*runs, common)))


def _align(earlier: _Run, later: _Run) -> list[str]:
    """Read the journal that begins earlier up to the first transition of the other one."""
    if earlier.now is None or later.now is None or earlier.place == later.place:
        return []
    first = later.now.line
    while earlier.now is not None:
        if position_key(earlier.now.line) == position_key(first):
            return [f"{later.reader.path} begins at {_where(first)}; compared from there on"]
        earlier.advance()
    raise JournalError(
        f"{later.reader.path} begins at {_where(first)}, a transition that is not in "
        f"{earlier.reader.path}"
    )


def _common_fields(a: Line, b: Line, ignored: Collection[str]) -> list[str]:
    """The fields that both observe in the same way."""
    return [
        name
        for name in a["fields"]
        if name in b["fields"]
        and (name in a["full"]) == (name in b["full"])
        and name not in ignored
    ]


def _difference(
    a: _Run, b: _Run, fields: Collection[str], ignored: Collection[str]
) -> JournalDifference | None:
    if a.now is None or b.now is None:
        ended, other = ("A", b.now) if a.now is None else ("B", a.now)
        assert other is not None
        texts = [_NOTHING if run.now is None else run.now.line["trigger"] for run in (a, b)]
        return JournalDifference(f"{_where(other.line)}, after the end of {ended}", "end", *texts)
    if position_key(a.now.line) != position_key(b.now.line):
        texts = [_transition(run.now.line) for run in (a, b) if run.now is not None]
        return JournalDifference(_where(a.now.line), "transition", *texts)
    for name in fields:
        if name not in a.fields or name not in b.fields:  # after a resume, until it is observed
            continue
        values = a.fields[name], b.fields[name]
        if values[0] != values[1]:
            return JournalDifference(_where(a.now.line), name, *values, _writers(name, a, b))
    return _difference_of_texts(a.now, b.now, ignored)


def _difference_of_texts(
    a: _Moment, b: _Moment, ignored: Collection[str]
) -> JournalDifference | None:
    for name in ("closed_by", "reason"):
        values = a.line.get(name, _NOTHING), b.line.get(name, _NOTHING)
        if values[0] != values[1]:
            return JournalDifference(_where(a.line), name, *values)
    for name in {**a.reported, **b.reported}:
        values = a.reported.get(name, _NOTHING), b.reported.get(name, _NOTHING)
        if name not in ignored and values[0] != values[1]:
            return JournalDifference(_where(a.line), f"report of {name}", *values)
    return None


def _writers(name: str, a: _Run, b: _Run) -> str:
    """Who has written a field since the transition, of journals that know it."""
    if not (a.reader.header["blame"] and b.reader.header["blame"] and a.now and b.now):
        return ""
    of_a, of_b = a.now.writers.get(name, []), b.now.writers.get(name, [])
    only_a = [writer for writer in of_a if writer not in of_b]
    only_b = [writer for writer in of_b if writer not in of_a]
    both = [writer for writer in of_a if writer in of_b]
    texts = [f"{', '.join(both)} in both runs"] if both else []
    texts += [f"{', '.join(only_a)} in run A only"] if only_a else []
    texts += [f"{', '.join(only_b)} in run B only"] if only_b else []
    return ", ".join(texts) or f"the activity of {a.now.line['from']}"


def _where(line: Line) -> str:
    position = counted_place(line["epoch"], line["batch"])
    return f"step {line['step']}, {line['trigger']}" + (f" ({position})" if position else "")


def _transition(line: Line) -> str:
    position = counted_place(line["epoch"], line["batch"])
    counters = f"step {line['step']}, samples {line['samples']}"
    return ", ".join(filter(None, (f"{line['trigger']} to {line['to']}", position, counters)))


def _notes(a: _Run, b: _Run, common: Collection[str]) -> Iterator[str]:
    for run in (a, b):
        if run.reader.cut_off:
            yield f"{run.reader.path} is cut off: its last line is incomplete, and was left out"
    observed = {*a.reader.header["fields"], *b.reader.header["fields"]}
    texts = [flat_names(run.reader.header.get("facts", {})) for run in (a, b)]
    for name in dict.fromkeys(name for facts in texts for name in facts if name != "command"):
        values = [facts.get(name, _NOTHING) for facts in texts]
        if values[0] != values[1]:
            yield f"facts: {name} is {values[0]} in A, {values[1]} in B"
    if left := sorted(observed - {*common}):
        yield f"not compared, as both do not observe them in the same way: {', '.join(left)}"
