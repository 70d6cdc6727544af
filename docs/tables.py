"""Write the tables of the reference from the chart and the code: `python docs/tables.py`.

A test checks that they match.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trackside import Cancel, Trainer, TrainState
from trackside.engine import SUPERVISED
from trackside.engine.statechart.phase_paths import CLOSING
from trackside.events import CANCELS, SIGNALS, any_transition, reported, resumed
from trackside.views.commands.main import build_parser

HERE = Path(__file__).parent
UNTOLD = {"batches", "pass_begun", "previous_loss", "found_modes", "reports", "asked", "phase"}
"""Fields that a reader of the signals does not need."""


def signals() -> str:
    """A row for each signal of a fit: its phases, what is new in the state, the open scopes."""
    new, places = _changes(), _phases()
    lines = [
        "| signal | what has happened | the phase is | new in the state | may be cancelled there |",
        "|---|---|---|---|---|",
    ]
    for name in _in_order(places):
        told = dict.fromkeys(f"`{_short(phase)}`" for phase in places[name])
        changed = ", ".join(f"`{field}`" for field in new.get(name, ()))
        open_scopes = ", ".join(_open_scopes(places[name]))
        doc = SIGNALS[name].__doc__
        lines.append(f"| `{name}` | {doc} | {', '.join(told)} | {changed} | {open_scopes} |")
    for other in (reported, resumed, any_transition):
        lines.append(f"| `{other.name}` | {other.__doc__} | that of the signal before it | | |")
    return "\n".join(lines)


def _in_order(names: dict[str, Any]) -> list[str]:
    return [name for name in SIGNALS if name in names]


def _phases() -> dict[str, list[str]]:
    """For each trigger of a fit, the phases to which it leads."""
    found: dict[str, list[str]] = {}
    for trigger, _, destination in SUPERVISED.rows:
        found.setdefault(trigger, []).append(destination)
    return found


def _short(phase: str) -> str:
    return re.sub(r"^fit\.epoch\.(train|validate)\.batch\.", "….batch.", phase)


def _open_scopes(phases: list[str]) -> list[str]:
    """The scopes that are open in these phases, and not closing, outermost first."""
    paths = [phase.split(".")[:-1] for phase in phases if not _closes(phase)]
    levels = [dict.fromkeys(level) for level in zip(*paths, strict=False)]
    return [" or ".join(f"`{scope}`" for scope in level) for level in levels]


def _closes(phase: str) -> bool:
    return phase.rpartition(".")[2] in (*CLOSING, "completed", "failed")


def _changes() -> dict[str, list[str]]:
    """The fields that change before each signal of a plain fit of two epochs, with validation."""
    found: dict[str, list[str]] = {}
    trainer, batches = _small_trainer()
    before = _snapshot(trainer.state)

    def compare(_: Any, state: TrainState, transition: Any) -> None:
        nonlocal before
        now = _snapshot(state)
        changed = [n for n, value in now.items() if value is not None and _differ(value, before[n])]
        names = found.setdefault(transition.trigger, [])
        names += [name for name in changed if name not in names]
        before = now

    any_transition.connect(compare, sender=trainer)
    trainer.fit(batches, batches[:1], epochs=2)
    any_transition.disconnect(compare, sender=trainer)
    return found


def _small_trainer() -> tuple[Trainer, list[Any]]:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = nn.Linear(2, 2)
        batches = [(torch.randn(4, 2), torch.randn(4, 2)) for _ in range(2)]
    return Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), 0.1)), batches


def _snapshot(state: TrainState) -> dict[str, Any]:
    """What is told of a state: its fields, weights and gradients."""
    told = {f.name: getattr(state, f.name) for f in fields(state) if f.name not in UNTOLD}
    parameters = list(state.model.parameters())
    told["weights"] = str([p.tolist() for p in parameters])
    told["gradients"] = str([p.grad.tolist() for p in parameters if p.grad is not None])
    return told


def _differ(value: Any, before: Any) -> bool:
    if isinstance(value, bool | int | float | str):
        return bool(value != before)
    return value is not before


def cancels() -> str:
    """A row for each cancel: the signals that are sent when it is raised in a training batch."""
    lines = [
        "| raised | at | signals after it, to the next that opens a scope |",
        "|---|---|---|",
    ]
    for scope, cancel in CANCELS.items():
        at = {"step": "begin_step", "backward": "begin_backward", "validate": "begin_validate"}
        signal = at.get(scope, "after_loss")
        sent = ", ".join(f"`{name}`" for name in _sent_after(signal, cancel))
        lines.append(f"| `{cancel.__name__}` | `{signal}` | {sent} |")
    return "\n".join(lines)


def _sent_after(signal: str, cancel: type[Cancel]) -> list[str]:
    """The signals after the first one of this name, where the cancel is raised."""
    trainer, batches = _small_trainer()
    sent: list[str] = []

    @trainer.on(signal, once=True)
    def raise_it(_: Any, state: TrainState) -> None:
        raise cancel("for the table")

    def note(_: Any, state: TrainState, transition: Any) -> None:
        sent.append(transition.trigger)

    any_transition.connect(note, sender=trainer)
    trainer.fit(batches, batches[:1], epochs=2)
    any_transition.disconnect(note, sender=trainer)
    after = sent[sent.index(signal) + 1 :]
    end = next((i for i, name in enumerate(after) if name.startswith("begin_")), len(after) - 1)
    return after[: end + 1]


def state() -> str:
    """A definition for each field of the TrainState, from the text under it in its source."""
    parts = []
    for group in _field_groups():
        parts.append("| field | type | |\n|---|---|---|")
        parts[-1] += "".join(f"\n| `{name}` | `{kind}` | {doc} |" for name, kind, doc in group)
    return "\n\n".join(parts)


def _field_groups() -> Iterator[list[tuple[str, str, str]]]:
    """Fields as (name, type, text), in the groups that blank lines separate."""
    source = inspect.getsource(TrainState)
    group: list[tuple[str, str, str]] = []
    end = 0
    body = ast.parse(source).body[0].body  # type: ignore[attr-defined]
    for line, text in pairwise(body):
        if not (isinstance(line, ast.AnnAssign) and isinstance(text, ast.Expr)):
            continue
        if group and line.lineno > end + 1:
            yield group
            group = []
        doc = " ".join(ast.literal_eval(text.value).split())
        kind = ast.unparse(line.annotation).replace("|", "\\|")
        group.append((ast.unparse(line.target), kind, doc.replace("|", "\\|")))
        end = text.end_lineno or 0
    yield group


def methods() -> str:
    """What a TrainState can do, by the first line of each docstring."""
    members = [(n, m) for n, m in vars(TrainState).items() if not n.startswith("_")]
    lines = ["| | |", "|---|---|"]
    for name, member in members:
        if callable(member) or isinstance(member, property):
            call = name if isinstance(member, property) else f"{name}{_arguments(member)}"
            lines.append(f"| `{call}` | {(inspect.getdoc(member) or '').splitlines()[0]} |")
    return "\n".join(lines)


def _arguments(method: Callable[..., Any]) -> str:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return f"({', '.join(str(p.replace(annotation=p.empty)) for p in parameters)})"


def command_line() -> str:
    """A section for each command: what it does, its arguments and options."""
    commands = build_parser().commands
    return "\n\n".join(_command(name, parser) for name, parser in sorted(commands.choices.items()))


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    lines = [f"## trackside {name}", "", f"{parser.description}.", "", "| | |", "|---|---|"]
    for action in parser._actions:
        if action.dest == "help":
            continue
        word = action.metavar or action.dest.upper()
        value = "" if action.nargs == 0 else f" {word}"
        told = ", ".join(action.option_strings) + value if action.option_strings else word
        help_text = (action.help or "") % {**vars(action), "prog": parser.prog}
        lines.append(f"| `{told}` | {help_text.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


TABLES: dict[str, tuple[Callable[[], str], ...]] = {
    "signals": (signals,),
    "cancels": (cancels,),
    "state": (state, methods),
    "command-line": (command_line,),
}
"""For each page of the reference, what is written between its marks."""


def with_tables(page: str, makers: tuple[Callable[[], str], ...]) -> str:
    """Return the page with new tables.

    Raises:
        ValueError: the marks around a table are missing.
    """
    for maker in makers:
        begin = f"<!-- {maker.__name__}: made by `make readme` -->"
        before, found, rest = page.partition(begin)
        _, end, after = rest.partition(f"<!-- end of {maker.__name__} -->")
        if not (found and end):
            raise ValueError(f"the page has no marks for the table {maker.__name__}")
        page = f"{before}{begin}\n{maker()}\n{end}{after}"
    return page


def path_of(name: str) -> Path:
    """The page of the reference with this name."""
    return HERE / "reference" / f"{name}.md"


def main() -> None:
    """Write them all."""
    for name, makers in TABLES.items():
        path = path_of(name)
        path.write_text(with_tables(path.read_text(encoding="utf-8"), makers), encoding="utf-8")


if __name__ == "__main__":
    main()
