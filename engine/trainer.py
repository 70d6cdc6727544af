"""The trainer: an engine with the supervised chart, and the evaluation chart beside it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias
from weakref import ref

import torch

from ..events import TrainState, Transition
from ..events.state import Job
from .checkpoint.checkpoint_reader import read_checkpoint
from .checkpoint.checkpoint_writer import CheckpointStore
from .checkpoint.compatibility import check_resumable, check_state_dict
from .checkpoint.training_state import load_values, state_dict
from .checkpoint.unsaved_warning import UnsavedWarning
from .data.rng_state import generators_kept, of_loader, of_modules
from .fit_arguments import asked_for, check_fit, check_loader
from .hosting.async_stream import Stream
from .hosting.background_run import Run
from .loop.activities import ACTIVITIES, OUTERMOST
from .loop.batch import concatenate, to_device
from .loop.diagnostics import check_model, check_trainable
from .loop.engine import Engine
from .run_context import evaluation_session, fit_session
from .statechart.chart import EVALUATION, SUPERVISED
from .statechart.chart import Row as ChartRow
from .statechart.compiled_table import Activity
from .statechart.machine import Machine, build
from .statechart.topology import Topology

Resumed: TypeAlias = Mapping[str, Any] | str | Path | None


class Trainer(Engine):
    """Trains, validates and predicts with one model; publishes every transition.

    Args:
        model: trained in place, and moved to `device` if one is given.
        loss_fn: `loss_fn(pred, yb)` to a scalar; None when the model's output carries `.loss`.
        optimizer: None is enough for `validate` and `predict`.
        handlers: attached in this order; a string names a published one, as `attach` explains.
        device: batches are moved there, `non_blocking`; None takes them as they come.
        chart: rows of another chart for `fit` (see `chart`), with `activities` for it.
        activities: by name, beside or instead of the trainer's own.
        name: what modules that have never seen it may subscribe by (see `Publisher`).

    Raises:
        TypeError: the model is no module; a handler is wired wrongly.
        ChartError: the chart is unsound.

    Cost of a training batch: 8 transitions, a few microseconds; no device sync, no object made
    but the batch's own.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        loss_fn: Callable[..., Any] | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        handlers: Iterable[Any] = (),
        device: torch.device | str | None = None,
        *,
        chart: Sequence[ChartRow] = SUPERVISED,
        activities: Mapping[str, Activity] | None = None,
        name: str = "",
    ) -> None:
        check_model(model)
        target = None if device is None else torch.device(device)
        state = TrainState(
            model=model if target is None else model.to(target),
            optimizer=optimizer,
            loss_fn=loss_fn,
            device=target,
        )
        self._unsaved = UnsavedWarning()
        super().__init__(chart, {**ACTIVITIES, **(activities or {})}, state, OUTERMOST, name)
        self._current: Callable[[], Generator[Transition, None, None] | None] = lambda: None
        for handler in handlers:
            self.attach(handler)

    def fit(
        self,
        train_loader: Iterable[Any],
        valid_loader: Iterable[Any] | None = None,
        epochs: int | None = None,
        batches_per_epoch: int | None = None,
        *,
        resume: Resumed = None,
    ) -> TrainState:
        """Train for `epochs` epochs, each validated if there is a `valid_loader`.

        Args:
            train_loader: anything that can be iterated once an epoch; see `batches`.
            valid_loader: read at the end of each epoch, without gradients.
            epochs: 1, if nothing is said; 0 opens and closes the fit, and does nothing else.
            batches_per_epoch: ends an epoch after so many batches; an endless loader needs it,
                and goes on in the next epoch where it was.
            resume: what `state_dict` gave inside of a fit, or a path: of a checkpoint, or of a
                folder of them, whose `latest` is taken. The fit goes on there, in a trainer built
                alike, with loaders made alike. No signal is sent a second time; handlers hear
                `resumed`, and those that have a scope open it again. `epochs` and
                `batches_per_epoch`, if given, are those of the whole fit; else as they were.

        Returns:
            The state: `outcome` and `cancel` say how it ended, `metrics` what came of it.

        Raises:
            TypeError, ValueError, RuntimeError: it cannot begin; nothing has been published.
                Among them CheckpointError: there is no whole checkpoint to go on from.
            BusyError: this trainer is running already.
            BaseException: what a handler, the model, the loader raised; all scopes are closed.
        """
        run = self._fit(train_loader, valid_loader, epochs, batches_per_epoch, resume, False)
        for _ in run:
            pass
        return self.state

    def steps(  # type: ignore[override]  # a trainer's run has loaders
        self,
        train_loader: Iterable[Any],
        valid_loader: Iterable[Any] | None = None,
        epochs: int | None = None,
        batches_per_epoch: int | None = None,
        *,
        resume: Resumed = None,
    ) -> Generator[Transition, None, None]:
        """The same fit, one transition each time the iterator is asked: the host drives.

        Closing or dropping the iterator cancels the fit: its scopes close.
        """
        run = self._fit(train_loader, valid_loader, epochs, batches_per_epoch, resume, True)
        self._current = ref(run)
        return run

    def astream(
        self,
        train_loader: Iterable[Any],
        valid_loader: Iterable[Any] | None = None,
        epochs: int | None = None,
        batches_per_epoch: int | None = None,
        *,
        resume: Resumed = None,
    ) -> Stream:
        """The same fit for `async for`: the event loop gets its turn at every transition.

        Cancelling the task, leaving the loop, or closing or dropping the iterator cancels the fit.
        The work of a batch runs in the loop's thread: `start` is for what takes longer.
        """
        run = self.steps(train_loader, valid_loader, epochs, batches_per_epoch, resume=resume)
        return Stream(run)

    def start(
        self,
        train_loader: Iterable[Any],
        valid_loader: Iterable[Any] | None = None,
        epochs: int | None = None,
        batches_per_epoch: int | None = None,
        *,
        resume: Resumed = None,
    ) -> Run:
        """The same fit in a thread of its own; what is given back watches and steers it.

        Returns when the fit has begun. Raises: as `fit`, what it raises before it begins.
        """
        if self._runs:
            raise self._busy(self._first)
        run = self._fit(train_loader, valid_loader, epochs, batches_per_epoch, resume, False)
        return Run(self, run)

    def _fit(
        self,
        train_loader: Iterable[Any],
        valid_loader: Iterable[Any] | None,
        epochs: int | None,
        batches_per_epoch: int | None,
        resume: Resumed,
        stepwise: bool,
    ) -> Generator[Transition, None, None]:
        if isinstance(resume, (str, Path)):
            resume = read_checkpoint(resume)
        else:  # what training changes is not the caller's
            resume = copy.deepcopy(resume)
        if resume is not None:
            check_resumable(self, resume, train_loader, valid_loader)
        asked = asked_for(epochs, batches_per_epoch, resume)
        check_fit(train_loader, valid_loader, *asked.values())
        check_trainable(self.state)
        session = fit_session(self, self._unsaved, train_loader, valid_loader, asked, resume)
        return self._drive(self._machine, self._first, session, stepwise)

    def step(self) -> Transition | None:
        """Make the next transition of the run whose iterator `steps` gave; None at its end.

        Raises:
            RuntimeError: there is no such run, or its iterator was dropped.
        """
        current = self._current()
        if current is None:
            raise RuntimeError(
                "there is no run to step: keep the iterator that trainer.steps(…) gives, as in "
                "run = trainer.steps(loader)"
            )
        return next(current, None)

    def state_dict(self) -> dict[str, Any]:
        """All that the trainer holds, as data: from it a fit goes on as if nothing had happened.

        Model, loss and optimizer (parameters by name), gradients that wait for their step, the
        handlers' `state_dict` by class, the phase, the counters and metrics, how far the loaders
        are read, the random number generators. Dicts, lists and tuples of tensors, str, int,
        float, bool, None, bytes: `torch.load` reads it with `weights_only=True`. Tensors are the
        live ones, as in torch: save or copy them before training goes on.

        Inside of a fit it is taken between two batches, when all who hear the last signal have
        been called: by a handler in a `wrap_fetch`, by a host between two of its `steps`.

        Raises:
            RuntimeError: a batch is live, or a scope is closing.
            TypeError: what a handler, a module or a loader gave is no data; it is named.
        """
        self._unsaved.warn(self)
        return state_dict(self)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load all of a `state_dict` but the place in the fit, which is for `fit(resume=…)`.

        Raises:
            ResumeError: it is of another kind of trainer; nothing is changed.
            BusyError: this trainer is running.
        """
        if self._runs:
            raise self._busy("load a state dict")
        check_state_dict(self, saved)
        load_values(self, copy.deepcopy(saved))

    def checkpoints(self, folder: str | Path) -> CheckpointStore:
        """The folder where a handler, which knows no engine, writes this trainer's checkpoints."""
        return CheckpointStore(folder)

    def rng_kept(self, loader: Any) -> AbstractContextManager[None]:
        """Restore every random number generator when the block is left.

        The global ones of Python, NumPy and torch on all devices, and those that the model's
        modules, the loader, its dataset and its samplers keep as attributes.
        """
        return generators_kept([*of_modules(self.state.model), *of_loader(loader)])

    def validate(self, loader: Iterable[Any]) -> dict[str, Any]:
        """Score `loader` without gradients, in eval mode; what the metric handlers found.

        Raises: as `fit`.
        """
        found: dict[str, Any] = {}
        for _ in self._evaluate("validate", loader, found, stepwise=False):
            pass
        return found

    def predict(self, loader: Iterable[Any]) -> Any:
        """The model's outputs for `loader`, concatenated, on the CPU; None for an empty loader.

        Of `(x, …, y)` batches the last part is taken for the target, and left out. A cancelled
        batch leaves no output. Raises: as `fit`.
        """
        outputs = []
        for transition in self._evaluate("predict", loader, {}, stepwise=True):
            if transition.trigger == "after_batch" and self.state.outcome == "completed":
                outputs.append(to_device(self.state.pred, torch.device("cpu")))
        return concatenate(outputs) if outputs else None

    def _evaluate(
        self, job: Job, loader: Iterable[Any], found: dict[str, Any], stepwise: bool
    ) -> Generator[Transition, None, None]:
        """A run of the evaluation chart; its metrics go into `found`, and to those of the fit."""
        check_loader("loader", loader)
        session = evaluation_session(self.state, job, loader, found)
        return self._drive(self._evaluation, EVALUATION[0][0], session, stepwise)

    @cached_property
    def _evaluation(self) -> Machine:
        return build(Topology(EVALUATION), self.state)
