"""The trainer: an engine with the chart of a fit, which can be saved and resumed."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

import torch

from ..events import AnyHandler, TrainState, Transition
from .closing.abandoned_runs import closed_at_exit
from .evaluating_engine import EvaluatingEngine
from .fit_activities import OUTERMOST_WRAPS, fit_activities
from .fit_arguments import check_fit, fit_limits
from .fit_state.compatibility import check_resumable, check_state_dict
from .fit_state.rollback import remember
from .fit_state.training_state import capture_training_state, load_training_state
from .fit_state.unsaved_warning import UnsavedStateCheck
from .hosting.async_stream import Stream
from .hosting.shown_progress import shown_progress
from .loop.activity_checks import check_valid_loader, loader_phase
from .loop.diagnostics import check_trainable
from .ranks.common_begin import refused_by_all
from .resume_source import ResumeFrom, read_resume_state
from .run_context import fit_session
from .run_parts import RunParts, checked_function
from .statechart.chart import SUPERVISED
from .statechart.phase_paths import Row

if TYPE_CHECKING:
    from ..events.rehearsal import RehearsalPlan
    from .hosting.background_run import Run


class Trainer(EvaluatingEngine):
    """Trains, validates and predicts; sends a signal for every transition.

    Args:
        model: trained in place, and moved to `device` if one is given.
        loss_fn: `loss_fn(pred, yb)` to a scalar; None when the model's output carries `.loss`.
        optimizer: may be None for `validate` and `predict`.
        handlers: attached in this order; a string names an installed one (see `attach`).
        device: batches are moved there, `non_blocking`; with None they are not moved.
        models, optimizers, loss_fns: several by name, all saved by name; the chart says which of
            its scopes trains which, `update("generator", of="g")`.
        chart: a `Chart`, or rows, for `fit`, with `activities` for it.
        state: a subclass of `TrainState` with fields of your own; a new fit sets their defaults.
        activities: by name; added to the trainer's own, or in place of them.
        name: modules that have no reference to it may subscribe by it (see `Publisher`).
        batch: `batch(batch)` returns `(inputs, targets)` or `(inputs, targets, weight)`, None for
            no targets; by default `(x, y)` and others are known, see `docs/reference/batches.md`.
        batch_size: `batch_size(batch)` returns the examples in it; by default they are counted.

    Raises:
        TypeError: the model is not a module; a method of a handler cannot be subscribed.
        ChartError: the chart is unsound.

    Cost of a training batch: 8 transitions, a few microseconds; no device sync, no new object.
    """

    verbose: bool | None = None
    """Whether `fit` shows a ProgressBar, of all trainers or of one; None: where a person sees it:
    in a terminal or a notebook."""

    def __init__(
        self,
        model: torch.nn.Module | None = None,
        loss_fn: Callable[..., Any] | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        handlers: Iterable[AnyHandler | str] = (),
        device: torch.device | str | None = None,
        *,
        models: Mapping[str, torch.nn.Module] | None = None,
        optimizers: Mapping[str, torch.optim.Optimizer] | None = None,
        loss_fns: Mapping[str, Callable[..., Any]] | None = None,
        chart: Sequence[Row] = SUPERVISED,
        activities: Mapping[str, Callable[[Any], str]] | None = None,
        state: type[TrainState] = TrainState,
        name: str = "",
        batch: Callable[[Any], Sequence[Any]] | None = None,
        batch_size: Callable[[Any], int] | None = None,
    ) -> None:
        several = (models or {}, loss_fns or {}, optimizers or {})
        parts = RunParts.checked(model, loss_fn, optimizer, *several, chart, bool(activities))
        fresh, own, wraps = parts.new_state(state, device), activities or {}, OUTERMOST_WRAPS
        fresh.split_batch = checked_function("batch", batch)
        fresh.count_examples = checked_function("batch_size", batch_size)
        defaults = fit_activities(self, lambda: self._table)
        super().__init__(chart, own, fresh, wraps, name, defaults=defaults)
        self._unsaved = UnsavedStateCheck(self._registry.functions)
        self._stepped_run: Callable[[], Generator[Transition, None, None] | None] = lambda: None
        for handler in handlers:
            self.attach(handler)

    def fit(
        self,
        train_loader: Iterable[Any] | None = None,
        valid_loader: Iterable[Any] | None = None,
        epochs: int | None = None,
        batches_per_epoch: int | None = None,
        *,
        seed: int | None = None,
        resume: ResumeFrom = None,
        verbose: bool | None = None,
    ) -> TrainState:
        """Train for `epochs` epochs, each followed by a validation if there is a `valid_loader`.

        Args:
            train_loader: anything that can be iterated once an epoch; see `batches`. None if the
                activities of the chart make their own data.
            valid_loader: read at the end of each epoch, without gradients; several by name have
                metrics by name: `{"easy": …, "hard": …}` gives `easy_loss`, `hard_loss`.
            epochs: 1 by default; 0 opens and closes the fit, and does nothing else.
            batches_per_epoch: ends an epoch after this many batches; required for an endless
                loader, which continues in the next epoch where it stopped.
            seed: for the generators of Python, NumPy and torch, of the modules and loaders, and for
                each `KeyedLoader`, which starts at its epoch 0: seeded once, when the fit begins.
                The generators are restored when it ends. A resumed fit is not seeded again.
            resume: a `state_dict` captured during a fit, or the path of a checkpoint, or of a
                folder of checkpoints, of which the `latest` is used, or "auto": the folder of the
                attached Checkpoint, and a new fit if that is empty. The fit continues from there,
                in a trainer and with loaders built in the same way. No signal is sent a second
                time; `resumed` is sent, and handlers reopen their scopes. `epochs` and
                `batches_per_epoch` are those of the whole fit; by default the saved ones.
            verbose: show a ProgressBar; None: as `Trainer.verbose`.

        Returns:
            The state: `outcome` and `cancel` say how the fit ended, `metrics` has its results.

        Raises:
            TypeError, ValueError, RuntimeError: the fit cannot begin; no signal was sent. Among
                them CheckpointError: there is no intact checkpoint to resume from.
            BusyError: this trainer is running already.
            BaseException: raised by a handler, the model or the loader; all scopes are closed.
        """
        run = self._fit(train_loader, valid_loader, epochs, batches_per_epoch, seed, resume, False)
        with shown_progress(self, self.verbose if verbose is None else verbose):
            deque(run, maxlen=0)
        return self.state

    def steps(
        self,
        train_loader: Iterable[Any] | None = None,
        valid_loader: Iterable[Any] | None = None,
        epochs: int | None = None,
        batches_per_epoch: int | None = None,
        *,
        seed: int | None = None,
        resume: ResumeFrom = None,
    ) -> Generator[Transition, None, None]:
        """The same fit, one transition for each `next`; closing the iterator cancels the fit."""
        run = self._fit(train_loader, valid_loader, epochs, batches_per_epoch, seed, resume, True)
        self._stepped_run = ref(run)
        return closed_at_exit(run)

    def astream(
        self,
        train_loader: Iterable[Any] | None = None,
        valid_loader: Iterable[Any] | None = None,
        epochs: int | None = None,
        batches_per_epoch: int | None = None,
        *,
        seed: int | None = None,
        resume: ResumeFrom = None,
    ) -> Stream:
        """The same fit for `async for`, with a return to the event loop at every transition.

        Cancelling the task or leaving the loop cancels the fit. Each activity runs in the thread
        of the event loop; for longer work use `start`.
        """
        return Stream(
            self.steps(
                train_loader, valid_loader, epochs, batches_per_epoch, seed=seed, resume=resume
            )
        )

    def start(
        self,
        train_loader: Iterable[Any] | None = None,
        valid_loader: Iterable[Any] | None = None,
        epochs: int | None = None,
        batches_per_epoch: int | None = None,
        *,
        seed: int | None = None,
        resume: ResumeFrom = None,
    ) -> Run:
        """Fit in a background thread; the returned Run controls it.

        Returns when the fit has begun. Raises: as `fit`, until it has begun.
        """
        from .hosting.background_run import Run  # noqa: PLC0415  # few fits need it

        if self._runs:
            raise self._busy(self._first_trigger)
        run = self._fit(train_loader, valid_loader, epochs, batches_per_epoch, seed, resume, False)
        return Run(self, run)

    def _fit(
        self,
        train_loader: Iterable[Any] | None,
        valid_loader: Iterable[Any] | None,
        epochs: int | None,
        batches_per_epoch: int | None,
        seed: int | None,
        resume: ResumeFrom,
        stepwise: bool,
    ) -> Generator[Transition, None, None]:
        with refused_by_all(self, self.handlers):
            saved = read_resume_state(self, resume)
            if saved is not None:
                check_resumable(self, saved, train_loader, valid_loader)
            limits = fit_limits(epochs, batches_per_epoch, seed, saved)
            reader = loader_phase(self._topology, self._registry)
            check_fit(train_loader, valid_loader, limits, reader=reader)
            check_trainable(self.state)
            if valid_loader is not None:
                check_valid_loader(self._topology, self._registry)
        loaders = train_loader, valid_loader
        session = fit_session(self, self._unsaved, *loaders, limits, saved, resume)
        return self._drive(self._machine, self._first_trigger, session, stepwise)

    def step(self) -> Transition | None:
        """Make the next transition of the iterator that `steps` returned; None at its end.

        Raises: RuntimeError, if `steps` was not called, or its iterator was deleted.
        """
        run = self._stepped_run()
        if run is None:
            raise RuntimeError(
                "there is no run to step: keep the iterator that trainer.steps(…) returns, as in "
                "run = trainer.steps(loader)"
            )
        return next(run, None)

    def rehearse(
        self,
        train_loader: Iterable[Any] | None = None,
        valid_loader: Iterable[Any] | None = None,
        epochs: int | None = None,
        batches_per_epoch: int | None = None,
    ) -> RehearsalPlan:
        """Go through the fit without a model call: `print(plan)` says what it would do.

        See docs/how-to/rehearsal.md. Nothing of this trainer, its handlers and loaders is changed.

        Raises: as `fit`, if it cannot begin; RehearsalError: an activity of the author chooses.
        Cost: a copy of the weights in CPU memory; some 10 µs a batch, and what receivers take.
        """
        from .rehearsal.rehearsal_run import rehearse  # noqa: PLC0415  # it is rare

        if self._runs:
            raise self._busy("rehearse")
        return rehearse(self, self._twin, train_loader, valid_loader, epochs, batches_per_epoch)

    def _twin(self, parts: Mapping[str, Any], first_base: type) -> Trainer:
        """A trainer of other parts for the same chart, without handlers, of a class of its own."""
        kept: Any = {"batch": self.state.split_batch, "batch_size": self.state.count_examples}
        kept |= {"state": type(self.state), "chart": self.topology.chart, "name": self.name}
        twin_class: Any = type("Twin", (first_base, Trainer), {})
        return twin_class(**parts, activities=self._given, **kept)  # type: ignore[no-any-return]

    def state_dict(self, *, shards: bool = False) -> dict[str, Any]:
        """Capture the complete training state, from which a fit resumes as if never interrupted.

        Model, loss and optimizer (parameters by name), accumulated gradients, the handlers'
        `state_dict` by class, the phase, the counters and metrics, the positions of the loaders,
        the random number generators. Dicts, lists and tuples of tensors, str, int, float, bool,
        None, bytes: `torch.load` reads it with `weights_only=True`. Tensors are the live ones, as
        in torch: save or copy them before training continues.

        During a fit, capture it between two batches, after all receivers of the last signal have
        run: in a `wrap_fetch` of a handler, or between two of the `steps`. Of several ranks all
        call it together, and sharded tensors are collected in the memory of each.

        Args:
            shards: leave sharded tensors out; the entry `shards` has the rows of this rank.

        Raises:
            RuntimeError: a batch is live, or a scope is closing.
            TypeError: the state of a handler, module or loader is not plain data; it is named.
        """
        self._unsaved.warn(self)
        return capture_training_state(self, shards)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load a `state_dict`, except its position in the fit: that needs `fit(resume=…)`.

        Raises:
            ResumeError: it does not fit this trainer; nothing is changed.
            BusyError: this trainer is running.
        """
        if self._runs:
            raise self._busy("load a state dict")
        check_state_dict(self, saved)
        with remember(self) as undo:
            load_training_state(self, copy.deepcopy(saved))
            undo.pop_all()
