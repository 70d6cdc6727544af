"""Traces and metrics of fits for OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ...events import Cancel, RehearsalPlan, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from .._copying import LeftOut
from .._stateful import Stateful
from ..logging._row import plain_values
from ..logging._run_logger import import_extra, scalar_values

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

_SCOPE = "trackside"
_COUNTERS = (
    ("step", "{step}", "Optimizer updates."),
    ("samples", "{example}", "Training examples fetched."),
)
"""Fields of the state, with units and descriptions."""


@dataclass
class _Run:
    """What is open of the run of one trainer."""

    spans: list[Span] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    """The counters as they were written last; empty outside of a fit."""


class OpenTelemetry(Stateful):
    """Makes a span of each fit, epoch and validation, and metrics of their counters and results.

    A span has the attributes `trackside.trainer` (its name), `trackside.epoch` (from 1) and, at
    its end, `trackside.step`, `trackside.samples`, `trackside.outcome`; if it was cancelled also
    `trackside.cancel`, `trackside.reason` and `trackside.raised_by`, the handler or activity. An
    error is recorded as an exception, and sets the status. Spans of epochs and validations have the
    metrics by name, `trackside.metric.valid_loss`. What is cancelled inside a span, and has none of
    its own, is an event `cancel`; a cancelled step is one of the span of its batch only, as
    accumulation cancels most of them. The span of a fit is a child of the span that is current
    when the fit begins.

    Metrics: the counters `trackside.step` and `trackside.samples`, `trackside.fits` by `outcome`,
    and the gauge `trackside.metric` by `metric`, written when metrics are reported. Counters do not
    fall: what is trained again after a rollback is not counted.

    Signals: begin_<scope>, after_<scope>, after_cancel_<scope> of fit, epoch, train, validate,
        batch, step, backward; resumed, reported
    Reads: epoch, step, samples, metrics, reported, outcome, cancel, error
    Cost: three calls a batch that do nothing, unless asked; a sync for each metric that is a tensor
    Does not: make spans of batches without `batches=True`, or export: the application's providers
        do

    Args:
        batches: also make a span of each batch.
        every: also write the counters after every n-th optimizer step, from 1; None: when metrics
            are reported, and at the end of an epoch and of the fit.
        tracer_provider: None: the global one.
        meter_provider: None: the global one.

    Raises:
        ImportError: opentelemetry is not installed: `pip install 'trackside[opentelemetry]'`.
        TypeError, ValueError: `every` is not an int from 1.
    """

    on_error = "detach"
    main_only = True
    needs = ()
    shared = ("_tracer_provider", "_meter_provider")
    left_out: ClassVar[LeftOut] = {"_runs": dict, "_instruments": dict}

    def __init__(
        self,
        *,
        batches: bool = False,
        every: int | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        if every is not None:
            check_whole_number(f"OpenTelemetry(every={every!r})", every, least=1)
        self._import("trace")
        self.batches = batches
        self.every = every
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._runs: dict[TrainerProtocol, _Run] = {}
        self._instruments: dict[str, Any] = {}

    def rehearse(self, plan: RehearsalPlan) -> None:
        """No span is made of a rehearsal."""

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        run = self._runs[trainer] = _Run()
        run.counted = {"step": state.step, "samples": state.samples}
        outcome = "detached"
        try:
            yield from self._span("fit", trainer, state)
            outcome = state.outcome
        finally:
            self._write_counters(trainer, state)
            del self._runs[trainer]
            fits = self._instrument("counter", "fits", "{fit}", "Fits that have ended.")
            fits.add(1, {**_labels(trainer), "outcome": outcome})

    def within_epoch(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        yield from self._span("epoch", trainer, state)
        self._write_counters(trainer, state)

    def within_validate(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        yield from self._span("validate", trainer, state)

    def within_batch(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        if self.batches:
            yield from self._span("batch", trainer, state)
        else:
            yield

    def after_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.every is not None and state.step % self.every == 0:
            self._write_counters(trainer, state)

    def after_cancel_backward(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._add_cancel(trainer, state)

    def after_cancel_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self.batches:
            self._add_cancel(trainer, state)

    def after_cancel_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not self.batches:
            self._add_cancel(trainer, state)

    def after_cancel_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._add_cancel(trainer, state)

    def reported(self, trainer: TrainerProtocol, state: TrainState) -> None:
        gauge = self._instrument("gauge", "metric", "1", "Newest value of a metric.")
        for name, value in scalar_values(plain_values(state.reported)).items():
            gauge.set(value, {**_labels(trainer), "metric": name})
        self._write_counters(trainer, state)

    def _span(self, scope: str, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        run = self._runs.setdefault(trainer, _Run())
        epoch = {"trackside.epoch": state.epoch + 1} if state.epoch >= 0 else {}
        attributes = {**_labels(trainer), **epoch}
        span = self._start(scope, attributes, run.spans)
        run.spans.append(span)
        try:
            yield
            self._describe_end(span, scope, state)
        except GeneratorExit:
            span.set_attribute("trackside.outcome", "detached")
            raise
        finally:
            run.spans.remove(span)
            span.end()
            if not run.spans and not run.counted:  # outside of a fit
                del self._runs[trainer]

    def _start(self, scope: str, attributes: dict[str, Any], around: list[Span]) -> Span:
        trace = self._import("trace")
        parent = trace.set_span_in_context(around[-1]) if around else None
        tracer = trace.get_tracer(_SCOPE, tracer_provider=self._tracer_provider)
        span: Span = tracer.start_span(scope, context=parent, attributes=attributes)
        return span

    def _describe_end(self, span: Span, scope: str, state: TrainState) -> None:
        span.set_attributes(
            {
                "trackside.step": state.step,
                "trackside.samples": state.samples,
                "trackside.outcome": state.outcome,
            }
        )
        if state.outcome == "cancelled" and state.cancel is not None:
            span.set_attributes(_cancel_attributes(state.cancel))
        if state.outcome == "failed" and state.error is not None:
            span.record_exception(state.error)
            trace = self._import("trace")
            text = f"{type(state.error).__name__}: {state.error}"
            span.set_status(trace.Status(trace.StatusCode.ERROR, text))
        if scope in ("epoch", "validate"):
            values = scalar_values(plain_values(state.metrics))
            span.set_attributes({f"trackside.metric.{name}": v for name, v in values.items()})

    def _add_cancel(self, trainer: TrainerProtocol, state: TrainState) -> None:
        spans = self._open_run(trainer).spans
        if spans and state.cancel is not None:
            spans[-1].add_event("cancel", _cancel_attributes(state.cancel))

    def _write_counters(self, trainer: TrainerProtocol, state: TrainState) -> None:
        counted = self._open_run(trainer).counted
        for name, unit, about in _COUNTERS:
            if name in counted:
                counter = self._instrument("counter", name, unit, about)
                now = max(counted[name], getattr(state, name))
                counter.add(now - counted[name], _labels(trainer))
                counted[name] = now

    def _open_run(self, trainer: TrainerProtocol) -> _Run:
        return self._runs.get(trainer, _Run())

    def _instrument(self, kind: str, name: str, unit: str, about: str) -> Any:
        if name not in self._instruments:  # made once: the API keeps those that have no provider
            metrics = self._import("metrics")
            meter = metrics.get_meter(_SCOPE, meter_provider=self._meter_provider)
            make = getattr(meter, f"create_{kind}")
            self._instruments[name] = make(f"{_SCOPE}.{name}", unit, about)
        return self._instruments[name]

    def _import(self, part: str) -> Any:
        return import_extra(f"opentelemetry.{part}", "opentelemetry", by=self)


def _labels(trainer: TrainerProtocol) -> dict[str, Any]:
    return {"trackside.trainer": trainer.name}


def _cancel_attributes(cancel: Cancel) -> dict[str, Any]:
    return {
        "trackside.cancel": type(cancel).__name__,
        "trackside.reason": cancel.reason,
        "trackside.raised_by": cancel.raised_by,
    }
