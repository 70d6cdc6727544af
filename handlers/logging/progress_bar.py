"""Show the progress of a fit."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TextIO

from ...events import RehearsalPlan, TrainerProtocol, TrainState
from ...events.progress import batches_in_pass
from ...events.utils.exact_context import exact_context
from .._copying import LeftOut, nothing
from .._stateful import Stateful
from ._tqdm_bar import LazyBar, Values, can_draw, number_texts, write_above


class ProgressBar(Stateful):
    """Shows a line an epoch, and on a terminal or in a notebook epochs and batches as bars.

    Without bars also a line for each validation within an epoch. The bar of the epochs shows the
    last metrics, the bar of the batches the loss of the last batch. In a narrow terminal metrics
    are left out from the right, last the one by which another handler judges. `validate()` and
    `predict()` have their own bar or line.

    Signals: begin and after of fit, train, validate and batch; reported, after_epoch
    Reads: loss, metrics, epoch, n_epochs, batch_index, n_batches, training, job, outcome, cancel
    Cost: a device sync each time that a bar is drawn, every `mininterval` seconds; for a line one
        if there are no metrics, so that it has the loss of the last batch
    Does not: show anything on another rank than 0

    Args:
        file: the stream to write to; None: `sys.stderr`. Bars are drawn if it is a terminal.
        mininterval: least seconds between two updates of a bar, from 0.

    Raises:
        ValueError: `mininterval` is below 0.
    """

    reads = (
        "loss",
        "metrics",
        "epoch",
        "n_epochs",
        "batch_index",
        "n_batches",
        "training",
        "job",
        "outcome",
        "cancel",
    )

    on_error = "detach"
    main_only = True
    runs_after = ("Metrics",)
    needs = ("within_fit",)

    left_out: ClassVar[LeftOut] = {"_epochs": nothing, "_batches": nothing, "_loss": nothing}

    def __init__(self, file: TextIO | None = None, mininterval: float = 0.1) -> None:
        if not mininterval >= 0:
            raise ValueError(f"ProgressBar(mininterval={mininterval}): allowed: seconds, from 0")
        self.file = file
        self.mininterval = mininterval
        self._epochs: LazyBar | None = None
        self._batches: LazyBar | None = None
        self._loss: Any = None

    def rehearse(self, plan: RehearsalPlan) -> None:
        """Draw nothing."""

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        if state.round_scope is None:  # no epoch to count; batches have their bar
            yield
            return
        done = max(0, state.epoch)  # not 0 in a resumed fit
        total = state.progress("epochs").total
        options = {"total": total, "initial": done, "unit": "epoch", "kept": _judged(trainer)}
        with self._bar("epochs", lambda: state.metrics, **options) as bar:
            self._epochs = bar
            yield
            bar.refresh()
            bar.leave = state.outcome == "completed"
        if state.outcome == "cancelled" and self._draws_bars:
            self._write("fit", {}, state)

    def within_train(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        done = state.batch_index + 1  # not 0 if training continues after a validation
        options = {"total": batches_in_pass(state), "initial": done, "leave": False}
        with self._bar("train", lambda: {"loss": state.loss}, **options) as self._batches:
            yield
        self._loss = state.loss

    def within_validate(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        alone = state.job != "fit"
        name = "validate" if state.evaluation == "valid" else state.evaluation
        name = "predict" if state.job == "predict" else name
        with self._bar(name, lambda: {"loss": state.loss}, leave=alone) as bar:
            self._batches = bar
            yield
            bar.values = lambda: _result(state)
            bar.refresh()

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        bar = self._batches
        if bar is not None and bar.total is None:
            total = batches_in_pass(state) if state.training else state.n_batches
            if total is not None:
                bar.reset(total=total)

    def after_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self._batches is not None:
            self._batches.update(state.batch_index + 1 - self._batches.n)

    def after_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self._epochs is not None and state.outcome != "failed":
            self._epochs.total = state.progress("epochs").total
            self._epochs.update(state.epoch + 1 - self._epochs.n)
        total = state.progress("epochs").total
        values = state.metrics or {"loss": self._loss}
        self._write(f"epochs {state.epoch + 1}/{total}", values, state)

    def reported(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.job != "fit" or state.ends_round:
            return
        if self._epochs is not None and self._draws_bars:
            self._epochs.refresh()
        elif not state.training:  # a validation within an epoch
            self._write(f"step {state.step}", state.metrics, state)

    def after_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.job != "fit" and not self._draws_bars:
            self._write(f"{state.job} {state.batch_index + 1} batches", _result(state), state)

    @property
    def _stream(self) -> TextIO:
        return sys.stderr if self.file is None else self.file

    @property
    def _draws_bars(self) -> bool:
        return can_draw(self._stream)

    @exact_context
    def _bar(self, name: str, values: Values, **options: Any) -> Iterator[LazyBar]:
        bar = LazyBar(
            values,
            desc=name,
            file=self._stream,
            mininterval=self.mininterval,
            disable=not self._draws_bars,
            **options,
        )
        try:
            yield bar
        finally:
            bar.close()

    def _write(self, title: str, values: Mapping[str, Any], state: TrainState) -> None:
        parts = [title]
        if state.outcome != "completed":
            reason = f" ({state.cancel.reason})" if state.cancel and state.cancel.reason else ""
            parts.append(state.outcome + reason)
        parts += number_texts(values)
        line = " ".join(", ".join(parts).split())
        if self._draws_bars:
            write_above(line, self._stream)
        else:
            self._stream.write(f"{line}\n")
            self._stream.flush()


def _judged(trainer: TrainerProtocol) -> str:
    """The metric by which a handler judges; without one that of the validation."""
    names = (getattr(handler, "metric", None) for handler in trainer.handlers)
    return next((name for name in names if isinstance(name, str)), "valid_loss")


def _result(state: TrainState) -> dict[str, Any]:
    """The metrics of `validate()`; empty for `predict()`."""
    return {} if state.job == "predict" else state.metrics
