"""Runs in MLflow."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Mapping
from typing import Any

from ...events import TrainerProtocol, TrainState
from ._run_logger import Row, RunLogger, imported, numbers

_STATUS = {"completed": "FINISHED", "cancelled": "KILLED", "failed": "FAILED"}
_BATCH = 1000  # metrics that the tracking server takes at once


class MLflow(RunLogger):
    """Makes an MLflow run of each fit, with metrics, learning rate and counters of each epoch.

    The run ends FINISHED; KILLED if the fit was cancelled, or the logger taken off; FAILED after
    an error. The step of a metric is the optimizer step of the fit; `epoch_completed` is 0 for an
    epoch that was cancelled or failed. What is no number is left out. MLflow's active run, if the
    program has one, is left alone.

    Signals: begin_fit, resumed, after_step, after_epoch, after_error, after_fit
    Reads: epoch, step, samples, lr, outcome, metrics, loss, phase, job
    Cost: a request to the tracking server each epoch. No sync a batch; one an epoch for each
        metric, and for the learning rate, that is a tensor; with `every` a request and one sync
        each `every` steps, and one more for such a learning rate

    Args:
        experiment: its name; it is made if it is missing.
        tracking_uri: `sqlite:///mlflow.db`, `http://…`; None: where MLflow is told to, by
            `mlflow.set_tracking_uri` or by its environment variables.
        run_name: of every run; None: `fit_0`, `fit_1`.
        params: hyperparameters to note with every run.
        every: also the `loss`, each so many optimizer steps; None: never.

    Attributes:
        run_id: of the live run, or of the last one; None before the first.

    Raises:
        ImportError: mlflow is missing: `pip install trackside[mlflow]`.
        TypeError: `every` is no int.
        ValueError: `every` is below 1.
        MlflowException: nothing can be tracked at `tracking_uri`.
    """

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
        self._has_closed = False
        self._entities = imported("mlflow.entities", "mlflow", by=self)
        self._client = imported("mlflow", "mlflow", by=self).MlflowClient(tracking_uri)

    def after_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._has_closed = self._is_open
        super().after_fit(trainer, state)

    def after_error(self, trainer: TrainerProtocol, state: TrainState) -> None:
        """An error of another handler at after_fit is heard when the run is closed already."""
        if self._has_closed and state.job == "fit" and state.phase == "failed":
            self._client.set_terminated(self.run_id, _STATUS["failed"])

    def _open(self) -> None:
        self.run_id = None
        # without a name MLflow would draw one from the random numbers of the program
        name = self.run_name or f"fit_{self._fit}"
        run = self._client.create_run(
            self._experiment_id(), run_name=name, tags={"fit": str(self._fit)}
        )
        self.run_id = run.info.run_id
        params = [self._entities.Param(key, str(value)) for key, value in self.params.items()]
        self._client.log_batch(self.run_id, params=params)

    def _run(self) -> Row:
        return {"run_id": self.run_id}

    def _go_on(self, run: Row) -> None:
        self.run_id = run["run_id"]
        self._client.update_run(self.run_id, status="RUNNING")

    def _write(self, row: Row) -> None:
        found = numbers(row)
        if "outcome" in row:
            found["epoch_completed"] = float(row["outcome"] == "completed")
        now, step = int(time.time() * 1000), row["step"]
        metrics = [
            self._entities.Metric(_key(name), value, now, step) for name, value in found.items()
        ]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + _BATCH])

    def _close(self, outcome: str) -> None:
        if self.run_id is not None:
            self._client.set_terminated(self.run_id, _STATUS[outcome])

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(self.experiment))


def _key(name: str) -> str:
    """`name` as MLflow takes it: some characters, and no path that leads elsewhere."""
    return posixpath.normpath(re.sub(r"[^\w\-. /]", "_", name)).lstrip("./") or "_"
