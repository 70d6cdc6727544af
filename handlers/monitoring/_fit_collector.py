"""What Prometheus scrapes: the counters and metrics of the fits that run in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from ...events import TrainState
from ...events.bus.lock import BUS_LOCK

_COLLECTORS: WeakKeyDictionary[CollectorRegistry, FitCollector] = WeakKeyDictionary()
"""A name is registered once in a registry, however many handlers there are."""
_LOCK = Lock()


@dataclass
class RunningFit:
    """A fit between `begin_fit` and `after_fit`."""

    state: TrainState
    metrics: dict[str, float]
    """The newest values by name; the thread of the fit writes them."""
    _scraped: dict[str, int] = field(default_factory=dict)

    def most(self, name: str) -> int:
        """The largest value of a counter when it was scraped: a rollback sets the state back."""
        found: int = max(self._scraped.get(name, 0), getattr(self.state, name))
        self._scraped[name] = found
        return found


class FitCollector(Collector):
    """Collects the fits that run when it is scraped, and counts what has ended.

    The counters of a running fit are read from its state by the thread that scrapes, so that a
    batch costs nothing. Its lock is that of the bus, which is reentrant: a garbage collection that
    starts under it may close an abandoned fit, and disconnects receivers under that lock.
    """

    def __init__(self) -> None:
        self._running: dict[str, RunningFit] = {}
        self._fits: Counter[tuple[str, ...]] = Counter()
        self._cancels: Counter[tuple[str, ...]] = Counter()

    @classmethod
    def of(cls, registry: CollectorRegistry) -> FitCollector:
        """The one of a registry; the first call registers it.

        Only that one takes a lock: a garbage collection under it may close a fit that has one.
        """
        known = _COLLECTORS.get(registry)
        return cls._register(registry) if known is None else known

    @classmethod
    def _register(cls, registry: CollectorRegistry) -> FitCollector:
        with _LOCK:
            if registry not in _COLLECTORS:
                collector = cls()
                registry.register(collector)
                _COLLECTORS[registry] = collector
            return _COLLECTORS[registry]

    def begin(self, name: str, fit: RunningFit) -> str:
        """Add a fit; returns its label, which is numbered if a running one has that name."""
        name = name or "trainer"
        labels = (name if number == 1 else f"{name}-{number}" for number in count(1))
        with BUS_LOCK:
            label = next(label for label in labels if label not in self._running)
            self._running[label] = fit
        return label

    def end(self, label: str, outcome: str) -> None:
        """Remove a fit, and count it."""
        with BUS_LOCK:
            del self._running[label]
            self._fits[label, outcome] += 1

    def add_cancel(self, label: str, scope: str) -> None:
        """Count the cancel of a scope."""
        with BUS_LOCK:
            self._cancels[label, scope] += 1

    def describe(self) -> Iterable[Metric]:
        return self._families({}, {}, {})

    def collect(self) -> Iterable[Metric]:
        with BUS_LOCK:
            running, fits, cancels = dict(self._running), dict(self._fits), dict(self._cancels)
        return self._families(running, fits, cancels)

    def _families(
        self,
        running: dict[str, RunningFit],
        fits: dict[tuple[str, ...], int],
        cancels: dict[tuple[str, ...], int],
    ) -> Iterator[Metric]:
        states = {label: fit.state for label, fit in running.items()}
        for name, about, shown in (
            ("epoch", "Number of the epoch of a running fit, from 1.", "epoch"),
            ("epochs", "Planned number of epochs of a running fit.", "n_epochs"),
        ):
            family = GaugeMetricFamily(f"trackside_{name}", about, labels=["trainer"])
            for label, state in states.items():
                family.add_metric([label], getattr(state, shown) + (shown == "epoch"))
            yield family
        for name, about, counted in (
            ("steps", "Optimizer updates of a running fit.", "step"),
            ("samples", "Training examples fetched in a running fit.", "samples"),
        ):
            counter = CounterMetricFamily(f"trackside_{name}", about, labels=["trainer"])
            for label, fit in running.items():
                counter.add_metric([label], fit.most(counted))
            yield counter
        values = GaugeMetricFamily(
            "trackside_metric", "Newest value of a metric.", labels=["trainer", "metric"]
        )
        for label, fit in running.items():
            for metric, value in dict(fit.metrics).items():
                values.add_metric([label, metric], value)
        yield values
        yield _counted("trackside_fits", "Fits that have ended.", "outcome", fits)
        yield _counted("trackside_cancels", "Scopes that were cancelled.", "scope", cancels)


def _counted(name: str, about: str, label: str, counts: dict[tuple[str, ...], Any]) -> Metric:
    family = CounterMetricFamily(name, about, labels=["trainer", label])
    for labels, number in counts.items():
        family.add_metric(labels, number)
    return family
