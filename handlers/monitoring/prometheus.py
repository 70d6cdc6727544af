"""Metrics of running fits for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ...events import RehearsalPlan, TrainerProtocol, TrainState
from .._copying import LeftOut
from .._stateful import Stateful
from ..logging._row import plain_values
from ..logging._run_logger import import_extra, scalar_values

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from ._fit_collector import FitCollector


class _Exported(NamedTuple):
    """What is exported of a running fit."""

    label: str
    metrics: dict[str, float]


class Prometheus(Stateful):
    """Exports the running fits of this process to Prometheus, through `prometheus_client`.

    Of each running fit, by the label `trainer` (its name): `trackside_epoch` (from 1),
    `trackside_epochs`, `trackside_steps_total`, `trackside_samples_total`, and
    `trackside_metric{metric=…}` for each number that was reported. Of those that have ended:
    `trackside_fits_total{outcome=…}` and `trackside_cancels_total{scope=…}`. A running fit whose
    name is taken by another one is numbered, `digits-2`. Counters do not fall: what is trained
    again after a rollback is not counted. Serve them as any metrics of the process:
    `prometheus_client.start_http_server`, `make_asgi_app`, `make_wsgi_app`.

    Signals: begin_fit, resumed, reported, after_cancel_<scope>, after_fit
    Reads: epoch, n_epochs, step, samples, reported, outcome, job
    Cost: nothing a batch, the counters are read when they are scraped; a sync for each reported
        metric that is a tensor
    Does not: serve what it exports, or tell of other processes

    Args:
        registry: what is scraped; None: the global one of `prometheus_client`.

    Raises:
        ImportError: prometheus_client is not installed: `pip install 'trackside[prometheus]'`.
    """

    on_error = "detach"
    main_only = True
    needs = ("within_fit",)
    shared = ("registry",)
    left_out: ClassVar[LeftOut] = {"_running": dict}

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        import_extra("prometheus_client", "prometheus", by=self)
        self.registry = registry
        self._running: dict[TrainerProtocol, _Exported] = {}

    def rehearse(self, plan: RehearsalPlan) -> None:
        """Nothing is exported of a rehearsal."""

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        from ._fit_collector import RunningFit  # noqa: PLC0415  # an extra

        collector, metrics = self._collector(), dict[str, float]()
        label = collector.begin(trainer.name, RunningFit(state, metrics))
        self._running[trainer] = _Exported(label, metrics)
        outcome = "detached"
        try:
            yield
            outcome = state.outcome
        finally:
            del self._running[trainer]
            collector.end(label, outcome)

    def reported(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if trainer in self._running:
            self._running[trainer].metrics.update(scalar_values(plain_values(state.reported)))

    def after_cancel_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._add_cancel(trainer, "batch")

    def after_cancel_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._add_cancel(trainer, "train")

    def after_cancel_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._add_cancel(trainer, "validate")

    def after_cancel_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._add_cancel(trainer, "epoch")

    def after_cancel_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._add_cancel(trainer, "fit")

    def _add_cancel(self, trainer: TrainerProtocol, scope: str) -> None:
        if trainer in self._running:
            self._collector().add_cancel(self._running[trainer].label, scope)

    def _collector(self) -> FitCollector:
        from ._fit_collector import FitCollector  # noqa: PLC0415  # an extra

        registry: Any = self.registry
        if registry is None:
            registry = import_extra("prometheus_client", "prometheus", by=self).REGISTRY
        return FitCollector.of(registry)
