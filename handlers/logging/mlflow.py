"""Log to MLflow."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ...events import Examples, Picture, RehearsalPlan, TrainerProtocol, TrainState
from ...events.utils.flat_names import flat_names
from ._picture_drawing import draw_picture, has_images, picture_table
from ._row import Row
from ._run_logger import RunLogger, import_extra, scalar_values

_STATUS = {"completed": "FINISHED", "cancelled": "KILLED", "failed": "FAILED"}
_TAG_CHARACTERS = 5000
_METRICS, _TEXTS = 1000, 100  # most metrics, and tags or params, that one request may have


class MLflow(RunLogger):
    """Logs each fit as an MLflow run, with metrics, learning rate and counters of each epoch.

    The run ends as FINISHED; as KILLED if the fit was cancelled or the logger detached; as FAILED
    after an error. The step of a metric is the optimizer step of the fit; `epoch_completed` is 0
    for a cancelled or failed epoch. Values that are not numbers are left out. Pictures of Samples
    and Interpretation are images of a step, or a table. The active run of the program is not used.

    Signals: begin_fit, resumed, after_step, reported, after_epoch, after_error,
        after_fit
    Reads: epoch, step, samples, lr, outcome, metrics, reported, pictures, loss, phase, job
    Cost: a request to the tracking server each epoch. No sync a batch; one an epoch for each metric
        or learning rate that is a tensor; with `every` also a request and one sync each `every`
        steps, two if the learning rate is a tensor
    Does not: log metrics that are not numbers, or use the active run of the program

    Args:
        experiment: the name of the experiment, which is created if it does not exist.
        tracking_uri: `sqlite:///mlflow.db`, `http://…`; None: as set by
            `mlflow.set_tracking_uri` or MLflow's environment variables.
        run_name: the name of every run; None: `fit_0`, `fit_1`.
        params: hyperparameters to log with every run.
        every: also log the `loss` of every n-th optimizer step, from 1; None: never.

    Attributes:
        run_id: the id of the current or last run; None before the first.

    Raises:
        ImportError: mlflow is not installed: `pip install 'trackside[mlflow]'`.
        TypeError: `every` is not an int.
        ValueError: `every` is below 1.
        MlflowException: `tracking_uri` is not valid.
    """

    reads = (
        "epoch",
        "step",
        "samples",
        "outcome",
        "metrics",
        "reported",
        "pictures",
        "loss",
        "phase",
        "job",
    )

    def __init__(
        self,
        experiment: str = "Default",
        tracking_uri: str | None = None,
        run_name: str | None = None,
        params: Mapping[str, Any] | None = None,
        every: int | None = None,
    ) -> None:
        super().__init__(every)
        self.experiment = experiment
        self.run_name = run_name
        self.params = dict(params or {})
        self.run_id: str | None = None
        self._was_closed = False
        self._tracking_uri = tracking_uri
        self._client = import_extra("mlflow", "mlflow", by=self).MlflowClient(tracking_uri)

    def rehearse(self, plan: RehearsalPlan) -> None:
        """See that the tracking server answers. Raises: what mlflow does."""
        self._client.get_experiment_by_name(self.experiment)

    def _import_entities(self) -> Any:
        return import_extra("mlflow.entities", "mlflow", by=self)

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._was_closed = self._is_open
        super().after_fit(trainer, state)

    def after_error(self, trainer: TrainerProtocol, state: TrainState) -> None:
        """Mark a closed run as failed if another handler has raised an error at after_fit."""
        if self._was_closed and state.job == "fit" and state.phase == "failed":
            self._client.set_terminated(self.run_id, _STATUS["failed"])

    def _open(self) -> None:
        self.run_id = None
        # without a name MLflow would draw one from the global random number generator
        name = self.run_name or f"fit_{self._fit}"
        run = self._client.create_run(
            self._experiment_id(), run_name=name, tags={"fit": str(self._fit)}
        )
        self.run_id = run.info.run_id
        make = self._import_entities().Param
        params = [make(key, str(value)) for key, value in self.params.items()]
        for part in _parts(params, _TEXTS):
            self._client.log_batch(self.run_id, params=part)

    def _write_facts(self, facts: Row) -> None:
        make = self._import_entities().RunTag
        named = flat_names({"facts": facts}).items()
        tags = [make(_key(name), str(value)[:_TAG_CHARACTERS]) for name, value in named]
        for part in _parts(tags, _TEXTS):
            self._client.log_batch(self.run_id, tags=part)

    def _run_state(self) -> Row:
        return {"run_id": self.run_id}

    def _reopen(self, run: Row) -> None:
        self.run_id = run["run_id"]
        self._client.update_run(self.run_id, status="RUNNING")

    def _write(self, row: Row) -> None:
        values = scalar_values(row)
        if "outcome" in row:
            values["epoch_completed"] = float(row["outcome"] == "completed")
        make = self._import_entities().Metric
        now, step = int(time.time() * 1000), row["step"]
        metrics = [make(_key(name), value, now, step) for name, value in values.items()]
        for part in _parts(metrics, _METRICS):
            self._client.log_batch(self.run_id, metrics=part)

    def _write_pictures(self, pictures: Mapping[str, Picture], step: int) -> None:
        for name, picture in pictures.items():
            if isinstance(picture, Examples) and not has_images(picture):
                columns, rows = picture_table(picture)
                table = {"columns": columns, "data": rows}
                self._client.log_dict(self.run_id, table, f"{_key(name)}/step_{step}.json")
            else:
                image = draw_picture(picture)
                self._client.log_image(self.run_id, image, key=_key(name), step=step)

    def _close(self, outcome: str) -> None:
        if self.run_id is not None:
            self._client.set_terminated(self.run_id, _STATUS[outcome])

    def _experiment_id(self) -> str:
        experiment = self._client.get_experiment_by_name(self.experiment)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(self._client.create_experiment(self.experiment))


def _parts(entities: list[Any], most: int) -> Iterator[list[Any]]:
    return (entities[start : start + most] for start in range(0, len(entities), most))


def _key(name: str) -> str:
    """`name` as MLflow accepts it: only allowed characters, and no path that leads outside."""
    return posixpath.normpath(re.sub(r"[^\w\-. /]", "_", name)).lstrip("./") or "_"
