"""Spans and metrics, read back by the exporters of the OpenTelemetry SDK."""

import copy
import sys

import pytest
import torch
from helpers import CANCELS, batches, raise_at, trainer_of
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trackside import GradientAccumulation, Metrics, OpenTelemetry, Snapshots
from trackside.events import RollbackException


class Telemetry:
    """A handler, and what the SDK has exported of it."""

    def __init__(self, **options):
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        meters = MeterProvider(metric_readers=[self.reader])
        providers = {"tracer_provider": self.tracers, "meter_provider": meters}
        self.handler = OpenTelemetry(**options, **providers)

    @property
    def spans(self):
        """In the order of their begin."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time)

    def tree(self):
        """(name, name of the parent, outcome) of each span."""
        names = {span.context.span_id: span.name for span in self.spans}
        return [
            (
                span.name,
                names.get(span.parent and span.parent.span_id),
                span.attributes["trackside.outcome"],
            )
            for span in self.spans
        ]

    def points(self):
        """Values by the name of the instrument and the distinguishing attribute."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            (metric.name, point.attributes.get("outcome") or point.attributes.get("metric")): (
                point.value
            )
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        }


def fitted(told, epochs=2, **options):
    trainer = trainer_of(Metrics(), told.handler, name="digits", **options)
    trainer.fit(batches(3), batches(2), epochs=epochs)
    return trainer


EPOCH = [("epoch", "fit", "completed"), ("validate", "epoch", "completed")]


def test_fits_epochs_and_validations_are_spans_and_batches_are_not():
    told = Telemetry()
    state = fitted(told).state
    assert told.tree() == [("fit", None, "completed"), *EPOCH, *EPOCH]
    fit, *_, epoch, valid = told.spans
    assert dict(fit.attributes) == {
        "trackside.trainer": "digits",
        "trackside.step": 6,
        "trackside.samples": 24,
        "trackside.outcome": "completed",
    }
    assert epoch.attributes["trackside.epoch"] == 2  # for people, as in messages and for Prometheus
    assert epoch.attributes["trackside.metric.train_loss"] == float(state.metrics["train_loss"])
    assert valid.attributes["trackside.metric.valid_loss"] == float(state.metrics["valid_loss"])


def test_counters_and_reported_values_are_metrics():
    told = Telemetry()
    state = fitted(told).state
    points = told.points()
    assert points["trackside.step", None] == 6
    assert points["trackside.samples", None] == 24
    assert points["trackside.fits", "completed"] == 1
    assert points["trackside.metric", "valid_loss"] == float(state.metrics["valid_loss"])
    fitted_again = trainer_of(told.handler, name="digits")
    fitted_again.fit(batches(2))
    points = told.points()
    assert (points["trackside.step", None], points["trackside.fits", "completed"]) == (8, 2)


def test_counters_are_written_every_few_steps_if_asked():
    told, seen = Telemetry(every=2), []
    trainer = trainer_of(told.handler)
    trainer.on("after_batch")(lambda trainer, state: seen.append(told.points()))
    trainer.fit(batches(4))
    assert [points.get(("trackside.step", None)) for points in seen if points] == [2, 2, 4]


class CountedMeters(NoOpMeterProvider):
    """Counts the meters that it was asked for; the API keeps each one."""

    asked = 0

    def get_meter(self, *args, **kwargs):
        self.asked += 1
        return super().get_meter(*args, **kwargs)


def test_the_instruments_are_made_once():
    provider = CountedMeters()
    handler = OpenTelemetry(every=1, meter_provider=provider)
    trainer_of(Metrics(), handler).fit(batches(3), epochs=3)
    assert provider.asked == len(("step", "samples", "metric", "fits"))


def test_counters_do_not_fall_after_a_rollback(caplog):
    told = Telemetry(every=1)
    trainer = trainer_of(told.handler, Snapshots(every=3))

    @trainer.on("after_batch", when=lambda trainer, state: state.step == 5, once=True)
    def roll_back(trainer, state):
        raise RollbackException("a spike")

    state = trainer.fit(batches(9))
    assert (state.rollbacks[0].to_step, state.step) == (3, 7)
    assert told.points()["trackside.step", None] == 7
    assert caplog.records == []


def test_batches_are_spans_if_asked():
    told = Telemetry(batches=True)
    trainer = trainer_of(told.handler)
    trainer.fit(batches(2), batches(1))
    assert [name for name, _, _ in told.tree()] == [
        *("fit", "epoch", "batch", "batch"),
        *("validate", "batch"),
    ]
    assert told.tree()[-1] == ("batch", "validate", "completed")


@pytest.mark.parametrize("scope", ["fit", "epoch", "validate"])
def test_a_cancelled_span_says_why_and_who_raised_it(scope):
    told = Telemetry()
    trainer = trainer_of(told.handler)
    raise_at(trainer, f"begin_{scope}", CANCELS[scope])
    trainer.fit(batches(2), batches(1))
    (span,) = (span for span in told.spans if span.name == scope)
    attributes = span.attributes
    assert attributes["trackside.outcome"] == "cancelled"
    assert attributes["trackside.cancel"] == CANCELS[scope].__name__
    assert attributes["trackside.raised_by"]
    assert not span.status.description


def test_a_cancelled_batch_is_an_event_of_the_span_around_it():
    told = Telemetry()
    trainer = trainer_of(told.handler)

    @trainer.on("after_loss", once=True)
    def refuse(trainer, state):
        raise CANCELS["batch"]("too dark")

    trainer.fit(batches(2))
    (event,) = next(span for span in told.spans if span.name == "epoch").events
    assert event.name == "cancel"
    assert dict(event.attributes) == {
        "trackside.cancel": "CancelBatchException",
        "trackside.reason": "too dark",
        "trackside.raised_by": event.attributes["trackside.raised_by"],
    }
    assert "refuse" in event.attributes["trackside.raised_by"]
    assert told.tree()[1] == ("epoch", "fit", "completed")


def test_an_error_is_recorded_in_all_open_spans():
    told = Telemetry()
    trainer = trainer_of(told.handler)
    with pytest.raises(RuntimeError, match="shapes"):
        trainer.fit([(torch.ones(2, 9), torch.zeros(2))])
    assert told.tree() == [("fit", None, "failed"), ("epoch", "fit", "failed")]
    for span in told.spans:
        assert span.status.status_code.name == "ERROR"
        assert "RuntimeError: " in span.status.description
        assert span.events[0].attributes["exception.type"] == "RuntimeError"
    assert told.points()["trackside.fits", "failed"] == 1


def test_a_fit_is_a_child_of_the_span_that_is_current():
    told = Telemetry()
    with told.tracers.get_tracer("host").start_as_current_span("request") as request:
        fitted(told, epochs=1)
    fit = next(span for span in told.spans if span.name == "fit")
    assert fit.parent.span_id == request.get_span_context().span_id


def test_a_validation_of_its_own_is_a_span():
    told = Telemetry()
    trainer = trainer_of(Metrics(), told.handler)
    trainer.validate(batches(2))
    assert told.tree() == [("validate", None, "completed")]
    assert ("trackside.metric", "valid_loss") in told.points()
    assert ("trackside.step", None) not in told.points()


def test_detaching_in_a_fit_ends_the_spans():
    told = Telemetry()
    trainer = trainer_of(told.handler)
    trainer.on("after_loss", once=True)(lambda trainer, state: trainer.detach(told.handler))
    trainer.fit(batches(2))
    assert [outcome for _, _, outcome in told.tree()] == ["detached", "detached"]
    assert told.points()["trackside.fits", "detached"] == 1


def test_a_resumed_fit_is_a_span_that_counts_its_own_steps():
    told, saved = Telemetry(), []
    trainer = trainer_of(told.handler)
    run = trainer.steps(batches(4))
    for transition in run:
        if transition.trigger == "after_batch" and trainer.state.step == 3:
            saved.append(copy.deepcopy(trainer.state_dict()))
    again = Telemetry()
    trainer_of(again.handler).fit(batches(4), resume=saved[0])
    assert again.tree() == [("fit", None, "completed"), ("epoch", "fit", "completed")]
    assert again.points()["trackside.step", None] == 1


def test_two_trainers_that_take_turns_have_spans_of_their_own():
    told = Telemetry()
    runs = [
        trainer_of(told.handler, name=name).steps(batches(2), batches(1)) for name in ("one", "two")
    ]
    for _ in zip(*runs, strict=True):
        pass
    next(runs[1], None)
    names = {span.context.span_id: span.attributes["trackside.trainer"] for span in told.spans}
    assert len(told.spans) == 6
    assert all(
        names[span.parent.span_id] == span.attributes["trackside.trainer"]
        for span in told.spans
        if span.parent
    )


def test_a_copy_exports_to_the_same_providers():
    told = Telemetry()
    trainer_of(copy.deepcopy(told.handler)).fit(batches(1))
    assert [name for name, _, _ in told.tree()] == ["fit", "epoch"]


def test_without_a_provider_of_the_application_nothing_is_exported():
    trainer = trainer_of(Metrics(), OpenTelemetry(batches=True))
    assert trainer.fit(batches(2)).outcome == "completed"


def test_without_opentelemetry_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(ImportError, match=r"pip install 'trackside\[opentelemetry\]'"):
        OpenTelemetry()


def test_every_is_a_whole_number():
    with pytest.raises(ValueError, match=r"OpenTelemetry\(every=0\)"):
        OpenTelemetry(every=0)


def test_a_cancelled_batch_that_is_a_span_is_no_event():
    told = Telemetry(batches=True)
    trainer = trainer_of(told.handler)
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(2))
    assert [
        span.attributes["trackside.outcome"] for span in told.spans if span.name == "batch"
    ] == [
        "cancelled",
        "completed",
    ]
    assert [event for span in told.spans for event in span.events] == []


def test_a_batch_that_is_cancelled_before_the_first_span_is_told_nowhere():
    told = Telemetry()
    trainer = trainer_of()
    trainer.on("begin_train", once=True)(lambda trainer, state: trainer.attach(told.handler))
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(2), epochs=2)
    assert told.tree() == [("epoch", None, "completed")]
    assert [event for span in told.spans for event in span.events] == []


@pytest.mark.parametrize("asked", [False, True])
def test_steps_that_accumulation_cancels_are_events_of_spans_of_batches_only(asked):
    told = Telemetry(batches=asked)
    trainer_of(GradientAccumulation(3), told.handler).fit(batches(6))
    found = [(span.name, event.name) for span in told.spans for event in span.events]
    assert found == ([("batch", "cancel")] * 4 if asked else [])
