"""What is scraped over HTTP from the server of prometheus_client, and parsed by its parser."""

import copy
import gc
import sys
import threading
import urllib.request
from contextlib import contextmanager

import pytest
import torch
from helpers import CANCELS, batches, raise_at, trainer_of
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from trackside import Metrics, Prometheus, Snapshots
from trackside.events import RollbackException
from trackside.handlers.monitoring import _fit_collector
from trackside.handlers.monitoring._fit_collector import FitCollector


def by_labels(families):
    """Values by name, trainer, and the other label if there is one."""
    return {
        (
            sample.name.removeprefix("trackside_"),
            sample.labels["trainer"],
            *(value for label, value in sample.labels.items() if label != "trainer"),
        ): sample.value
        for family in families
        for sample in family.samples
    }


@contextmanager
def served(registry):
    """A function that scrapes: the values by name and labels."""
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)

    def scrape():
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(url, timeout=60) as response:
            text = response.read().decode()
        return by_labels(text_string_to_metric_families(text))

    try:
        yield scrape
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def registry():
    return CollectorRegistry()


def test_a_running_fit_is_scraped_and_an_ended_one_counted(registry):
    trainer, seen = trainer_of(Metrics(), Prometheus(registry), name="digits"), []
    with served(registry) as scrape:

        @trainer.on("after_step")
        def look(trainer, state):
            if state.step == 5:
                seen.append(scrape())

        losses = []
        trainer.on("after_epoch")(lambda trainer, state: losses.append(state.metrics["valid_loss"]))
        trainer.fit(batches(3), batches(2), epochs=2)
        after = scrape()
    running = seen[0]
    assert running["epoch", "digits"] == 2
    assert running["epochs", "digits"] == 2
    assert running["steps_total", "digits"] == 5
    assert running["samples_total", "digits"] == 20
    assert running["metric", "digits", "valid_loss"] == pytest.approx(float(losses[0]))
    assert ("fits_total", "digits", "completed") not in running
    assert after == {("fits_total", "digits", "completed"): 1}


def abandoned_fit(registry):
    """A list of a trainer, whose fit only a collection closes once the list is cleared."""
    trainer = trainer_of(Prometheus(registry), name="abandoned")
    trainer.run = trainer.steps(batches(3))
    next(trainer.run)
    return [trainer]


def fit_in_a_thread(registry):
    trainer = trainer_of(Prometheus(registry))
    thread = threading.Thread(target=trainer.fit, args=(batches(2),), daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert values(registry)["fits_total", "trainer", "completed"] == 1


def test_a_fit_can_be_closed_by_a_collection_while_another_one_is_added(registry):
    class Collecting(dict):
        def __contains__(self, label):
            abandoned.clear()
            gc.collect()
            return super().__contains__(label)

    abandoned, collector = abandoned_fit(registry), FitCollector.of(registry)
    collector._running = Collecting(collector._running)
    fit_in_a_thread(registry)
    assert values(registry)["fits_total", "abandoned", "cancelled"] == 1


def test_a_fit_can_be_closed_by_a_collection_while_another_registry_gets_its_collector(registry):
    class Collecting(CollectorRegistry):
        def register(self, collector):
            abandoned.clear()
            gc.collect()
            super().register(collector)

    abandoned = abandoned_fit(registry)
    fit_in_a_thread(Collecting())
    assert values(registry)["fits_total", "abandoned", "cancelled"] == 1


def test_fits_are_added_counted_and_collected_under_the_lock_of_the_bus(registry, monkeypatch):
    class Refusing:
        def __enter__(self):
            raise InterruptedError

        def __exit__(self, *error):
            """Never entered."""

    collector = FitCollector.of(registry)
    monkeypatch.setattr(_fit_collector, "BUS_LOCK", Refusing())
    for method, *arguments in (
        (collector.begin, "name", None),
        (collector.end, "name", "completed"),
        (collector.add_cancel, "name", "batch"),
        (collector.collect,),
    ):
        with pytest.raises(InterruptedError):
            method(*arguments)


def values(registry):
    return by_labels(registry.collect())


def test_counters_do_not_fall_after_a_rollback(registry):
    trainer, seen = trainer_of(Prometheus(registry), Snapshots(every=3)), []

    @trainer.on("after_batch")
    def look(trainer, state):
        seen.append(values(registry)["steps_total", "trainer"])
        if state.step == 5 and not state.rollbacks:
            raise RollbackException("a spike")

    trainer.fit(batches(9))
    assert seen == [1, 2, 3, 4, 5, 5, 5, 6, 7]


def test_cancels_are_counted_by_scope(registry):
    trainer = trainer_of(Prometheus(registry))
    raise_at(trainer, "after_loss", CANCELS["batch"])
    raise_at(trainer, "begin_validate", CANCELS["validate"])
    trainer.on("begin_epoch", when=lambda trainer, state: state.epoch == 1)(
        lambda trainer, state: raise_at(trainer, "after_train", CANCELS["fit"])
    )
    trainer.fit(batches(2), batches(1), epochs=2)
    found = values(registry)
    for scope in ("batch", "validate", "fit"):
        assert found["cancels_total", "trainer", scope] == 1
    assert found["fits_total", "trainer", "cancelled"] == 1


def test_a_cancel_outside_of_a_fit_is_not_counted(registry):
    trainer = trainer_of(Prometheus(registry))
    raise_at(trainer, "after_loss", CANCELS["validate"])
    trainer.validate(batches(2))
    assert trainer.state.outcome == "cancelled"
    assert values(registry) == {}


def test_an_error_ends_the_fit_as_failed(registry):
    trainer = trainer_of(Prometheus(registry))
    with pytest.raises(RuntimeError, match="shapes"):
        trainer.fit([(torch.ones(2, 9), torch.zeros(2))])
    assert values(registry) == {("fits_total", "trainer", "failed"): 1}


def test_two_running_fits_of_one_name_are_two_series(registry):
    def inner(trainer, state):
        other = trainer_of(Prometheus(registry), name="digits")
        other.on("after_step", once=True)(lambda trainer, state: seen.append(values(registry)))
        other.fit(batches(1))

    seen, trainer = [], trainer_of(Prometheus(registry), name="digits")
    trainer.on("after_step", once=True)(inner)
    trainer.fit(batches(2))
    (found,) = seen
    assert found["steps_total", "digits"] == found["steps_total", "digits-2"] == 1


def test_detaching_in_a_fit_removes_its_series(registry):
    handler = Prometheus(registry)
    trainer = trainer_of(handler)
    trainer.on("after_loss", once=True)(lambda trainer, state: trainer.detach(handler))
    trainer.fit(batches(2))
    assert values(registry) == {("fits_total", "trainer", "detached"): 1}


def test_a_copy_and_an_own_validation_use_the_same_registry(registry):
    trainer = trainer_of(Metrics(), copy.deepcopy(Prometheus(registry)))
    trainer.validate(batches(1))
    assert values(registry) == {}
    trainer.fit(batches(1))
    assert values(registry) == {("fits_total", "trainer", "completed"): 1}


def test_names_are_registered_once(registry):
    Prometheus(registry)
    trainer_of(Prometheus(registry)).fit(batches(1))
    trainer_of(Prometheus(registry)).fit(batches(1))
    names = [family.name for family in registry.collect()]
    assert len(names) == len(set(names)) == 7


def test_without_prometheus_client_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"pip install 'trackside\[prometheus\]'"):
        Prometheus()
