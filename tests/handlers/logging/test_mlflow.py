import pytest
from helpers import batches, raise_at, trainer_of
from loggers import mlflow_runs, mlflow_series

from trackside.events import CancelFitException
from trackside.events.utils.flat_names import flat_names
from trackside.handlers import EarlyStopping, Metrics
from trackside.handlers.logging.mlflow import MLflow
from trackside.handlers.run_facts import run_facts


@pytest.fixture
def make(mlflow_uri, tmp_path):
    """Makes a logger with its own experiment."""
    return lambda **options: MLflow(tmp_path.name, mlflow_uri, **options)


@pytest.fixture
def client(mlflow_uri):
    from mlflow import MlflowClient

    return MlflowClient(mlflow_uri)


def status(client, logger):
    return client.get_run(logger.run_id).info.status


def fail(trainer, state):
    raise ValueError("mine")


def test_metrics_have_their_names_and_the_step_of_the_fit(make, client):
    logger = make()
    trainer = trainer_of(Metrics(), logger)
    trainer.fit(batches(), batches(2), epochs=2)
    series = mlflow_series(client, client.get_run(logger.run_id))
    assert sorted(series) == [
        "epoch",
        "epoch_completed",
        "lr",
        "samples",
        "train_loss",
        "valid_loss",
    ]
    assert series["epoch"] == [(3, 0.0), (6, 1.0)]
    assert series["valid_loss"][-1] == (6, trainer.state.metrics["valid_loss"])


def test_a_run_has_its_name_its_fit_and_its_params(make, client):
    logger = make(params={"width": 8, "activation": "tanh"})
    trainer, names = trainer_of(logger), []
    for _ in range(2):
        trainer.fit(batches(1))
        run = client.get_run(logger.run_id)
        names.append((run.info.run_name, run.data.tags["fit"]))
        assert run.data.params == {"width": "8", "activation": "tanh"}
    assert names == [("fit_0", "0"), ("fit_1", "1")]


def test_a_run_has_the_facts_of_the_fit_as_tags(make, client):
    logger = make()
    trainer = trainer_of(logger)
    trainer.state.facts = {"factory": "m:f", "arguments": {"lr": 0.1}}
    trainer.fit(batches(1), seed=3)
    tags = client.get_run(logger.run_id).data.tags
    expected = flat_names({"facts": run_facts(trainer.state)})
    assert expected["facts.arguments.lr"] == 0.1
    found = {name: value for name, value in tags.items() if name.startswith("facts.")}
    assert found == {name: str(value) for name, value in expected.items()}


def test_more_facts_and_params_than_a_server_takes_at_once_are_several_requests(
    make, client, monkeypatch
):
    arguments, sizes = {f"argument_{n}": n for n in range(101)}, []
    logger = make(params=arguments)
    log_batch = logger._client.log_batch

    def count(run_id, params=(), tags=(), metrics=()):
        sizes.append(len(params) + len(tags))
        log_batch(run_id, params=params, tags=tags, metrics=metrics)

    monkeypatch.setattr(logger._client, "log_batch", count)
    trainer = trainer_of(logger)
    trainer.state.facts = {"arguments": {"a": dict(list(arguments.items())[:60]), "b": arguments}}
    trainer.fit(batches(1))
    data = client.get_run(logger.run_id).data
    assert data.params == {name: str(n) for name, n in arguments.items()}
    assert sum(name.startswith("facts.arguments.") for name in data.tags) == 60 + 100
    assert "facts.machine.system" in data.tags
    assert max(sizes) == 100


def test_a_run_has_the_given_name(make, client):
    logger = make(run_name="wide")
    trainer_of(logger).fit(batches(1))
    assert client.get_run(logger.run_id).info.run_name == "wide"


def test_a_run_is_running_during_the_fit(make, client):
    logger, seen = make(), []
    trainer = trainer_of(logger)
    trainer.on("begin_epoch")(lambda t, state: seen.append(status(client, logger)))
    trainer.fit(batches(1))
    assert [*seen, status(client, logger)] == ["RUNNING", "FINISHED"]


def test_a_cancelled_fit_ends_as_killed(make, client):
    logger = make()
    trainer = trainer_of(Metrics(), EarlyStopping(patience=1, min_delta=100), logger)
    trainer.fit(batches(), batches(1), epochs=5)
    assert trainer.state.epoch == 1
    assert status(client, logger) == "KILLED"


@pytest.mark.parametrize(
    "signal",
    ["begin_fit", "begin_epoch", "after_pred", "after_step", "after_validate", "after_epoch"],
)
def test_a_run_ends_as_failed_after_an_error_anywhere(make, client, signal):
    logger = make()
    trainer = trainer_of(logger)
    trainer.on(signal)(fail)
    with pytest.raises(ValueError, match="mine"):
        trainer.fit(batches(), batches(1))
    assert status(client, logger) == "FAILED"


@pytest.mark.parametrize("first", [True, False])
def test_a_closed_run_becomes_failed_after_a_later_error(make, client, first):
    logger = make()
    trainer = trainer_of(*[] if first else [logger])
    trainer.on("after_fit")(fail)
    if first:
        trainer.attach(logger)
    with pytest.raises(ValueError, match="mine"):
        trainer.fit(batches(1))
    assert status(client, logger) == "FAILED"


def test_an_error_outside_of_a_fit_does_not_change_the_run(make, client):
    logger = make()
    trainer = trainer_of(logger)
    trainer.fit(batches(1))
    for signal in ("after_loss", "after_validate"):
        trainer.on(signal)(fail)
        with pytest.raises(ValueError, match="mine"):
            trainer.validate(batches(1))
        trainer.detach(fail)
    assert status(client, logger) == "FINISHED"


def cancel(trainer, state):
    raise CancelFitException


@pytest.mark.parametrize(
    "receivers",
    [{"begin_fit": fail}, {"begin_fit": cancel, "after_fit": fail}],
    ids=["failed", "cancelled_first"],
)
def test_an_error_before_a_run_is_opened_does_not_change_the_last_one(make, client, receivers):
    logger = make()
    trainer = trainer_of(logger)
    trainer.fit(batches(1))
    trainer.detach(logger)
    for signal, receiver in receivers.items():
        trainer.on(signal)(receiver)
    trainer.attach(logger)
    with pytest.raises(ValueError, match="mine"):
        trainer.fit(batches(1))
    assert status(client, logger) == "FINISHED"


def test_a_fit_cancelled_before_begin_fit_leaves_no_run(make, mlflow_uri, tmp_path):
    trainer = trainer_of()
    raise_at(trainer, "begin_fit", CancelFitException)
    trainer.attach(make())
    trainer.fit(batches(1))
    assert mlflow_runs(mlflow_uri, tmp_path.name) == []


def test_a_partly_opened_run_is_closed(make, client, caplog):
    logger = make(params={"?": 1})
    trainer = trainer_of(logger)
    assert trainer.fit(batches(1)).outcome == "completed"
    assert logger not in trainer.handlers
    assert status(client, logger) == "KILLED"
    assert "MLflow.begin_fit failed" in caplog.text


def test_a_run_that_cannot_be_opened_is_logged_once(make, client, tmp_path, caplog):
    client.delete_experiment(client.create_experiment(tmp_path.name))
    logger = make()
    trainer = trainer_of(logger)
    assert trainer.fit(batches(1)).outcome == "completed"
    assert logger not in trainer.handlers
    assert [record.getMessage()[:24] for record in caplog.records] == ["MLflow.begin_fit failed "]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("top-5 acc.x/y", "top-5 acc.x/y"),
        ("acc@5", "acc_5"),
        ("größe", "größe"),
        ("a//b/", "a/b"),
        ("/a", "a"),
        ("../a", "a"),
        ("a/../../b", "b"),
        (".", "_"),
        ("", "_"),
    ],
)
def test_a_name_that_mlflow_refuses_is_replaced(make, client, name, key):
    logger = make()
    trainer = trainer_of(logger)
    trainer.on("after_train")(lambda t, state: state.metrics.update({name: 0.5}))
    trainer.fit(batches(1))
    assert client.get_run(logger.run_id).data.metrics[key] == 0.5


def test_more_metrics_than_one_request_allows_are_logged(make, client):
    logger = make()
    trainer = trainer_of(logger)
    trainer.on("after_train")(lambda t, state: state.metrics.update(dict.fromkeys(names, 0.5)))
    names = [f"m{number}" for number in range(1100)]
    trainer.fit(batches(1))
    assert {*names} <= client.get_run(logger.run_id).data.metrics.keys()


def test_the_active_run_of_the_program_is_not_used(make):
    import mlflow

    logger, seen = make(), []
    trainer = trainer_of(logger)
    trainer.on("begin_epoch")(lambda t, state: seen.append(mlflow.active_run()))
    trainer.fit(batches(1))
    assert seen == [None]


def test_without_a_uri_the_configuration_of_mlflow_is_used(mlflow_uri, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    trainer_of(MLflow(tmp_path.name)).fit(batches(1))
    assert len(mlflow_runs(mlflow_uri, tmp_path.name)) == 1


def test_an_invalid_uri_is_refused(offline):
    with pytest.raises(Exception, match="nowhere"):
        MLflow(tracking_uri="nowhere://here")
