"""An engine with a second chart, for `validate` and `predict`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from ..events import AttachError, Signal, TrainState, Transition, signal
from ..events.bus.conflicts import Conflict, conflicts_of
from ..events.state import Job
from .batches.forward_in_parts import can_be_split, forward_in_parts
from .batches.joined_outputs import Join, check_join, join_outputs, keep_outputs, on_host
from .batches.recompute import recompute_in_backward
from .data.validation_loaders import check_evaluation_name
from .engine import Engine
from .fit_arguments import check_loader
from .fit_state.run_generators import preserve_run_generators
from .loop.forward_pass import forward_training_data, training_forward
from .loop.quiet_stretch import QuietStretch, find_stretch
from .ranks.common_begin import refused_by_all
from .run_context import evaluation_session
from .statechart.breakpoints import add_stops, remove_stops
from .statechart.compiled_table import Activity, Table
from .statechart.composition import Chart
from .statechart.evaluation_chart import evaluation_chart
from .statechart.machine_on_use import MachineOnUse
from .statechart.topology import topology_of

if TYPE_CHECKING:
    from .checkpoint.checkpoint_writer import CheckpointStore
    from .summary.model_summary import ModelSummary


class EvaluatingEngine(Engine):
    """An engine that also evaluates and predicts, outside of a fit; `steps` can stop earlier."""

    _stops: Mapping[object, str] = MappingProxyType({})

    @property
    def can_be_split(self) -> bool:
        """Whether the inputs of the live batch can be split into parts."""
        return can_be_split(self.state)

    def forward_in_parts(self, forward: Activity, size: int) -> str:
        """Run `forward` on parts of the live batch; see `TrainerProtocol`."""
        return forward_in_parts(forward, self.state, size)

    def checkpoints(self, folder: str | Path) -> CheckpointStore:
        """The store through which a handler, which cannot import engine, writes checkpoints."""
        from .checkpoint.checkpoint_writer import CheckpointStore  # noqa: PLC0415  # slow to import

        return CheckpointStore(folder)

    def recomputed(
        self, function: Callable[..., Any], module: torch.nn.Module
    ) -> Callable[..., Any]:
        """Wrap `function` to keep no activations; see `TrainerProtocol`."""
        return recompute_in_backward(function, module)

    @property
    def signals(self) -> Mapping[str, Signal]:
        """The signals of a fit with its chart, and of `validate` and `predict`, by name."""
        triggers = [row[0] for row in self._evaluation_chart.rows]
        return {**super().signals, **{trigger: signal(trigger) for trigger in triggers}}

    def __repr__(self) -> str:
        from .summary.trainer_text import trainer_text  # noqa: PLC0415  # few programs need it

        chart = self._topology.chart
        return trainer_text(type(self).__name__, self.state, chart, self.handlers)

    def summary(self, batch: Any = None, *, of: str | None = None, depth: int = 3) -> ModelSummary:
        """The layers of the models, their parameters and memory: `print(trainer.summary())`.

        Args:
            batch: one as a loader gives it; the model is called with it once, in eval mode and
                without gradients, and the outputs of the layers are shown. Modes, buffers and
                random number generators are restored, no signal is sent.
            of: the model to call, of a trainer with several.
            depth: modules that are nested deeper are left out; 0 shows the model alone.

        Raises:
            ValueError: there is a batch, and a model with lazy parameters; no model is called `of`.
            BusyError: this trainer is running, and there is a batch.
            Exception: raised by the model for this batch.
        """
        from .summary.summarize import summarize  # noqa: PLC0415  # few programs need it

        if batch is not None and self._runs:
            raise self._busy("summary")
        return summarize(self.state, batch, of, depth)

    def validate(self, loader: Iterable[Any], name: str = "valid") -> dict[str, Any]:
        """Evaluate `loader` without gradients, in eval mode; returns the metrics of the handlers.

        Their names begin with `name`: `test_loss`. With another name than that of the validation
        of a fit, they are also logged, and kept in `state.metrics` beside those of the last fit.
        Its outcome is kept, unless this run is cancelled or fails. Raises: as `fit`.
        """
        check_evaluation_name(f"validate(name={name!r})", name)
        metrics: dict[str, Any] = {}
        deque(self._evaluate("validate", loader, metrics, name), maxlen=0)
        return metrics

    def predict(self, loader: Iterable[Any], join: Join = "auto") -> Any:
        """The model's outputs for `loader`, joined, on the CPU; None if there are none.

        The last part of a `(x, …, y)` batch is the target, and ignored, unless the model needs as
        many arguments as the batch has parts. A cancelled batch has no output. bfloat16 becomes
        float32, as NumPy has no bfloat16. Raises: as `fit`; the error's attribute `outputs` is the
        list of the outputs of the batches before it.

        Args:
            join: "auto": concatenated along the first dimension where that is that of the examples;
                lists with one entry per example, such as detections, become one list of them all.
                "concatenate": also where the first dimension is another one. "batches": a list
                with the output of each batch. "examples": a list with that of each example. What
                cannot be joined is returned as "batches", with a warning that says why.

        Cost: a sync a batch.
        """
        check_join(join)
        outputs, sizes, closing = [], [], self.signal_name("after_batch")
        try:
            for transition in self._evaluate("predict", loader, {}):
                if transition.trigger == closing and self.state.outcome == "completed":
                    outputs.append(on_host(self.state.pred))
                    sizes.append(self.state.batch_size)
        except Exception as error:
            keep_outputs(error, outputs)
            raise
        return join_outputs(outputs, sizes, join) if outputs else None

    @property
    def conflicts(self) -> list[Conflict]:
        """The handlers that write the same part of the state in an order that is not declared."""
        return conflicts_of(self, self._sent_signals)

    def stop_before(self, name: str) -> Callable[[], None]:
        """Let `steps` also stop before a signal is sent; returns the function that undoes it.

        The activity has run, and no receiver has seen its result; the phase is still that of the
        activity. `steps` yields a Transition from this phase to itself, with the trigger
        `before_<name>`. Signals by which a cancel or an error closes scopes are left out.

        Raises:
            AttachError: this trainer does not send the signal; the message suggests a similar one.
        """
        tried = f"stop_before({name!r})"
        trigger = self._sent_signals.find(name, tried).name
        if trigger not in self.signals:
            raise AttachError(f"{tried}: no activity leads to it; allowed: a signal of the chart")
        stop = object()
        self._stops = {**self._stops, stop: trigger}
        add_stops(self._table.values(), trigger)

        def undo() -> None:
            self._stops = {one: kept for one, kept in self._stops.items() if one is not stop}
            if trigger not in self._stops.values():  # there may be another stop before it
                remove_stops(self._table.values(), trigger)

        return undo

    def forward_training_data(
        self,
        around_batch: Callable[[TrainState], AbstractContextManager[None]],
        of: str | None = None,
    ) -> int:
        """One more pass for handlers; see `TrainerProtocol`.

        Raises:
            RuntimeError: no fit is running.
        """
        if not self._table or self.state.job != "fit":
            raise RuntimeError("cannot read training data outside of a fit; call it in a handler")
        forward = training_forward(self._topology, self._table, of)
        return forward_training_data(self.state, forward, around_batch, of)

    def stretch(self, owner: object) -> QuietStretch:
        """The rows from the live `forward` to its `backward`; see `TrainerProtocol`."""
        return find_stretch(
            self,
            self._table,
            self.state.phase,
            self._registry,
            self._given,
            owner,
            list(self._obstacles()),
        )

    def _compiled(self, machine: MachineOnUse) -> Table:
        table = super()._compiled(machine)
        for trigger in self._stops.values():
            add_stops(table.values(), trigger)
        return table

    def _obstacles(self) -> Iterator[str]:
        """What keeps rows from being passed together in the whole live run."""
        if self._loop is not None and self._loop.stepwise:
            yield "a host makes one transition at a time (steps, astream)"
        if self.agreement is not None or self.state.world_size > 1:
            yield "several processes train together"
        if self._topology.chart.of or len(self.state.optimizers) > 1:
            yield "several models or optimizers are trained"

    def _evaluate(
        self, job: Job, loader: Iterable[Any], metrics: dict[str, Any], name: str = ""
    ) -> Generator[Transition, None, None]:
        """Run the evaluation chart; its metrics are added to `metrics`, and to those of the fit."""
        with refused_by_all(self, self.handlers):
            check_loader("loader", loader)
        session = evaluation_session(self, job, loader, name, metrics)
        first_trigger, stepwise = self._evaluation_chart.rows[0][0], job == "predict"
        return self._drive(self._evaluation, first_trigger, session, stepwise)

    @cached_property
    def _evaluation(self) -> MachineOnUse:
        return MachineOnUse(topology_of(self._evaluation_chart), self.state)

    @cached_property
    def _evaluation_chart(self) -> Chart:
        return evaluation_chart(self._topology.chart)

    def rewrap(self) -> None:
        """Wrap the activities of the live run anew; see `TrainerProtocol`."""
        self._update_activities()

    def rng_kept(self, loader: Any) -> AbstractContextManager[None]:
        """Restore every random number generator when the block is left.

        The global ones of Python, NumPy and torch on all devices, and those that are attributes
        of the model's and the loss's modules, the loader, its dataset and its samplers.
        """
        return preserve_run_generators(self.state, loader)
