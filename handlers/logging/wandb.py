"""Runs in Weights & Biases."""

from __future__ import annotations

import inspect
from typing import Any

from ._run_logger import Row, RunLogger, imported, numbers


class WandB(RunLogger):
    """Makes a Weights & Biases run of each fit, with metrics, learning rate and counters.

    Each epoch is a row of the run's history, with its `outcome`; the horizontal axis is `step`,
    the optimizer step of the fit. `fit_outcome` in the summary says how the fit ended, "cancelled"
    also where the logger was taken off; the run itself has failed after an error, else finished.
    What is no number is left out. A run that the program has open is left alone. When rows reach
    the disk or the server is for wandb to say: a killed process may lose its last seconds.

    Signals: begin_fit, resumed, after_step, after_epoch, after_fit
    Reads: epoch, step, samples, lr, outcome, metrics, loss
    Cost: no sync a batch; one an epoch for each metric, and for the learning rate, that is a
        tensor; with `every` one each `every` steps, and one more for such a learning rate

    Args:
        every: also the `loss`, each so many optimizer steps; None: never.
        init: what `wandb.init` takes, and gets for every run: project, name, config, mode, dir.

    Attributes:
        run: the live run, to log more to it; None outside of a fit.

    Raises:
        ImportError: wandb is missing: `pip install trackside[wandb]`.
        TypeError: `every` is no int; `wandb.init` takes no such argument.
        ValueError: `every` is below 1; `id` is given, and each fit is a run of its own.
    """

    def __init__(self, every: int | None = None, **init: Any) -> None:
        super().__init__(every)
        if "id" in init:
            raise ValueError(
                f"WandB(id={init['id']!r}): each fit is a run of its own, and one id would have "
                "the second overwrite the first; allowed: name, group"
            )
        self._wandb = imported("wandb", "wandb", by=self)
        try:
            inspect.signature(self._wandb.init).bind(**init)
        except TypeError as error:
            raise TypeError(f"WandB passes to wandb.init what it does not take: {error}") from None
        self.init = init
        init.setdefault("reinit", "create_new")  # and leave the run of the program alone
        self.run: Any = None

    def _run(self) -> Row:
        return {"id": self.run and self.run.id}

    def _go_on(self, run: Row) -> None:
        self._start(id=run["id"], resume="allow")

    def _open(self) -> None:
        self._start()

    def _start(self, **again: str) -> None:
        self.run = self._wandb.init(**self.init, **again)
        self.run.config.update({"fit": self._fit})
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")

    def _write(self, row: Row) -> None:
        told: Row = {name: row[name] for name in ("step", "outcome") if name in row}
        told.update(numbers(row))
        self.run.log(told)

    def _close(self, outcome: str) -> None:
        run, self.run = self.run, None
        if run is not None:
            run.summary["fit_outcome"] = outcome
            run.finish(exit_code=int(outcome == "failed"))
