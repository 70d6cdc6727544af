"""Write what happened, and what was in the state, as lines of JSON, to compare two runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, TextIO

from ...events import AttachError, RehearsalPlan, TrainerProtocol, TrainState, Transition
from ...events.bus.order import Receiver, owner_of, receiver_name
from ...events.state_parts import LIVE, check_part, part_of
from ...events.utils.argument_checks import check_whole_number
from ...events.utils.log import log_exception
from .._copying import LeftOut, nothing
from .._stateful import Stateful
from ..run_facts import run_facts
from ._field_digest import digest, in_full
from ._run_metadata import rank_path

FORMAT = 1
_HEAD = b'{"journal": '
FIELDS = ("xb", "yb", "pred", "loss")


class Journal(Stateful):
    """Writes a line of JSON for each transition: counters, what a cancel said, and chosen fields.

    The first line of each run has the facts of it, and the rows of the chart.

    `trackside diff A B` finds the first line in which two journals differ. An existing journal is
    continued, so that one file tells a fit that was killed and resumed. A field is written where it
    has changed, as a digest of its content, or in full. Lines reach the system at the end of each
    batch. If several processes train together, each writes its own file, `run.rank3.jsonl`.

    Signals: any_transition, resumed, reported
    Reads: the counters, cancel, error, reported; the chosen fields
    Cost: some microseconds a transition. Each chosen field is hashed at every transition of an
        observed batch, and with `blame` also before and after every receiver: on a GPU one sync
        each
    Does not: record times, or the values of fields that are not in `full`

    Args:
        path: the file, `runs/run.jsonl`; its folder is created.
        fields: names of parts of the state: fields, and `"model.weights"`, `"model.gradients"`,
            `"optimizer.lr"`, `"optimizer.state"`, `"metrics.valid_loss"`.
        full: those of them that are written in full.
        every: observe the fields in every n-th batch of a pass, from 1, and between batches.
        blame: also write which receiver changed which of the fields. What an activity or a wrap of
            it changed is in the line of the transition that it leads to.

    Raises:
        TypeError, ValueError: an argument is out of range; `path` is not a journal; when attached,
            a field does not exist.
    """

    left_out: ClassVar[LeftOut] = {"_trainer": nothing, "_file": nothing, "_stop_blaming": nothing}

    on_error = "detach"

    def __init__(
        self,
        path: str | Path,
        fields: Iterable[str] = FIELDS,
        full: Iterable[str] = (),
        every: int = 1,
        blame: bool = False,
    ) -> None:
        if isinstance(fields, str) or isinstance(full, str):
            raise TypeError("Journal(fields=…, full=…): found a str; allowed: a tuple of names")
        check_whole_number(f"Journal(every={every!r})", every, least=1)
        self.path = rank_path(Path(path).absolute())
        self.full = (*full,)
        self.fields = (*dict.fromkeys((*fields, *self.full)),)
        self.every = every
        self.blame = blame
        _check_path(self.path)
        self._trainer: Any = None
        self._file: TextIO | None = None
        self._stop_blaming: Callable[[], None] | None = None
        self._seen: dict[str, Any] = {}
        self._has_header = False

    def rehearse(self, plan: RehearsalPlan) -> None:
        """Plan the file; nothing is written."""
        plan.will_write(self.path)

    def attached(self, trainer: TrainerProtocol) -> None:
        if self._trainer is not None:
            raise AttachError(
                f"this Journal writes of another trainer to {self.path}; allowed: one journal, "
                "and one file, for each trainer"
            )
        for name in self.fields:
            check_part(name, trainer.state, f"Journal(fields={self.fields})")
        self._trainer = trainer
        self._seen, self._has_header = {}, False
        if self.blame:
            self._stop_blaming = trainer.instrument(self._blamed)

    def detached(self, trainer: TrainerProtocol) -> None:
        if self._stop_blaming is not None:
            self._stop_blaming()
        if self._file is not None:
            self._file.close()
        self._trainer = self._file = self._stop_blaming = None

    def any_transition(
        self, trainer: TrainerProtocol, state: TrainState, transition: Transition
    ) -> None:
        if "." not in transition.source:
            self._has_header = False
        line: dict[str, Any] = {"trigger": transition.trigger, "from": transition.source}
        line |= {"to": transition.destination, **_counters(state), **_closing(trainer, state)}
        if not _in_unit(state):
            line |= {"n_epochs": state.n_epochs, "n_batches": state.n_batches}
        if transition.trigger == f"begin_{state.unit_scope}":
            line["batch_size"] = state.batch_size
        self._write(_with_fields(line, self._changes(state)))
        self._put_aside(state)

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._seen, self._has_header = {}, False
        self._write({"resumed": state.phase, **_counters(state)})

    def reported(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._write({"reported": {name: in_full(v) for name, v in state.reported.items()}})
        self._put_aside(state)

    def _changes(self, state: TrainState) -> dict[str, Any]:
        """The observed fields that have changed since the last look, as JSON."""
        inside, changed = _in_unit(state), {}
        if inside and state.batch_index % self.every:
            return {}
        for name in self.fields:
            if not inside and name in LIVE:  # a fit that resumes there does not have them
                continue
            value = part_of(state, name)
            found = in_full(value) if name in self.full else digest(value)
            if name not in self._seen or self._seen[name] != found:
                changed[name] = self._seen[name] = found
        return changed

    def _blamed(self, receiver: Receiver, transition: Transition) -> Receiver:
        if owner_of(receiver) is self:
            return receiver
        name = receiver_name(receiver)

        def call(trainer: TrainerProtocol, state: TrainState) -> None:
            before = self._unless_it_fails(self._changes, state)
            try:
                receiver(trainer, state)
            finally:
                line = {"by": name, "at": transition.trigger}
                self._unless_it_fails(self._blame, line, before or {}, state)

        call.__wrapped__ = receiver  # type: ignore[attr-defined]  # it says the name
        return call

    def _blame(self, line: dict[str, Any], before: dict[str, Any], state: TrainState) -> None:
        written = self._changes(state)
        if before or written:
            self._write({**_with_fields(line, before), "wrote": written})
            self._put_aside(state)

    def _unless_it_fails(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do own work around a receiver; an error of it detaches the journal, as anywhere else."""
        if self._trainer is None:
            return None
        try:
            return work(*arguments)
        except Exception:
            log_exception("Journal failed around a receiver; it is detached and the run continues")
            self._trainer.detach(self)
            return None

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            self._file = self._opened()
        self._file.write(json.dumps(line, allow_nan=False) + "\n")

    def _put_aside(self, state: TrainState) -> None:
        """Let the system have the lines, at the end of a batch; close the file after a run."""
        assert self._file is not None, "a line was written just now"
        if "." not in state.phase:
            self._file.close()
            self._file = None
        elif not _in_unit(state):
            self._file.flush()

    def _opened(self) -> TextIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _drop_cut_line(self.path)
        file = self.path.open("a", encoding="utf-8", newline="")
        if self._has_header:
            return file
        self._has_header = True
        trainer, state = self._trainer, self._trainer.state
        header = {"journal": FORMAT, "fields": self.fields, "full": self.full, "every": self.every}
        header |= {"blame": self.blame, "rank": state.rank, "world_size": state.world_size}
        header |= {"handlers": [receiver_name(h) for h in trainer.handlers]}
        header |= {"rows": trainer.topology.rows, "roles": dict(trainer.topology.roles)}
        header |= {"facts": run_facts(state)}
        file.write(json.dumps(header) + "\n")
        return file


def _in_unit(state: TrainState) -> bool:
    return state.unit_scope in state.phase.split(".")[:-1]


def _with_fields(line: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {**line, "fields": changes} if changes else line


def _counters(state: TrainState) -> dict[str, Any]:
    return {
        "epoch": state.epoch,
        "batch": state.batch_index,
        "step": state.step,
        "samples": state.samples,
    }


def _closing(trainer: TrainerProtocol, state: TrainState) -> dict[str, Any]:
    """What closes scopes, if anything does."""
    if not trainer.is_closing:
        return {}
    raised = state.error or state.cancel
    reason = getattr(raised, "reason", None)
    text = reason if isinstance(reason, str) else str(raised)
    return {"closed_by": type(raised).__name__, "reason": text[:1000]}


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"Journal({str(path)!r}): that is a folder; allowed: a file's path")
    if path.exists():
        with path.open("rb") as file:
            begin = file.read(len(_HEAD) + 8)
        if not (begin.startswith(_HEAD) or _HEAD.startswith(begin)):
            raise ValueError(f"Journal({str(path)!r}): that file is not a journal; name another")
        written = re.match(rb"\d+", begin.removeprefix(_HEAD))
        if written and int(written[0]) > FORMAT:
            raise ValueError(
                f"Journal({str(path)!r}): a newer trackside wrote that file in format "
                f"{int(written[0])}; name another"
            )


def _drop_cut_line(path: Path) -> None:
    """Remove a last line that a killed process has not completed."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        whole = sum(len(line) for line in file if line.endswith(b"\n"))
        file.truncate(whole)
