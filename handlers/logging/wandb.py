"""Log to Weights & Biases."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ...events import Confusion, Examples, Picture, RehearsalPlan
from ._picture_drawing import (
    caption,
    confusion_cells,
    draw_picture,
    fitted_image,
    has_images,
    picture_table,
)
from ._row import Row
from ._run_logger import RunLogger, import_extra, scalar_values

_CONFUSION = ("Actual", "Predicted", "nPredictions")
"""The columns of W&B's own chart of a confusion matrix."""


class WandB(RunLogger):
    """Logs each fit as a Weights & Biases run, with metrics, learning rate and counters.

    Each epoch is a row of the run's history, with its `outcome`; the horizontal axis is `step`, the
    optimizer step of the fit. The summary contains `fit_outcome`, which is "cancelled" also if the
    logger was detached. The run is marked as failed after an error, otherwise as finished. Values
    that are not numbers are left out. Pictures of Samples are images with captions, or a table; a
    confusion matrix is W&B's own chart. A run that the program has open is not used. wandb decides
    when rows are written: a killed process may lose those of its last seconds.

    Signals: begin_fit, resumed, after_step, reported, after_epoch, after_fit
    Reads: epoch, step, samples, lr, outcome, metrics, reported, pictures, loss
    Cost: no sync a batch; one a row for each metric or learning rate that is a tensor; with
        `every` also one each `every` steps, two if the learning rate is a tensor
    Does not: use a run that the program has open, or log metrics that are not numbers

    Args:
        every: also log the `loss` of every n-th optimizer step, from 1; None: never.
        init: arguments of `wandb.init` for every run: project, name, config, mode, dir.

    Attributes:
        run: the current run, to which you can log more; None outside of a fit.

    Raises:
        ImportError: wandb is not installed: `pip install 'trackside[wandb]'`.
        TypeError: `every` is not an int; `wandb.init` has no such argument.
        ValueError: `every` is below 1; `id` is given, although each fit is a new run.
    """

    reads = ("epoch", "step", "samples", "outcome", "metrics", "reported", "pictures", "loss")

    def __init__(self, every: int | None = None, **init: Any) -> None:
        super().__init__(every)
        if "id" in init:
            raise ValueError(
                f"WandB(id={init['id']!r}): each fit is a new run, and with one id the second "
                "would overwrite the first; allowed: name, group"
            )
        try:
            inspect.signature(self._import().init).bind(**init)
        except TypeError as error:
            raise TypeError(
                f"WandB passes to wandb.init what it does not accept: {error}"
            ) from None
        self.init = init
        init.setdefault("reinit", "create_new")  # do not use the program's own run
        self.run: Any = None

    def rehearse(self, plan: RehearsalPlan) -> None:
        plan.leave_out(self, "wandb.init begins a run, and is not called in a rehearsal")

    def _import(self) -> Any:
        return import_extra("wandb", "wandb", by=self)

    def _run_state(self) -> Row:
        return {"id": self.run and self.run.id}

    kept_in_rollback = True  # the run is open, and a service shows what it was told

    def _reopen(self, run: Row) -> None:
        self._start(id=run["id"], resume="allow")

    def _open(self) -> None:
        self._start()

    def _start(self, **resume_options: str) -> None:
        self.run = self._import().init(**self.init, **resume_options)
        self.run.config.update({"fit": self._fit})
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")

    def _write_facts(self, facts: Row) -> None:
        self.run.config.update({"facts": facts})

    def _write(self, row: Row) -> None:
        logged: Row = {name: row[name] for name in ("step", "outcome") if name in row}
        logged.update(scalar_values(row))
        self.run.log(logged)

    def _write_pictures(self, pictures: Mapping[str, Picture], step: int) -> None:
        if pictures:
            shown = {name: self._as_media(picture) for name, picture in pictures.items()}
            self.run.log({"step": step, **shown})

    def _as_media(self, picture: Picture) -> Any:
        """Images with captions, a table of texts, or W&B's own chart of a confusion matrix."""
        wandb = self._import()
        if isinstance(picture, Confusion):
            table = wandb.Table(columns=[*_CONFUSION], data=confusion_cells(picture))
            fields = {name: name for name in _CONFUSION}
            return wandb.plot_table("wandb/confusion_matrix/v1", table, fields)
        if has_images(picture):
            return [
                wandb.Image(fitted_image(one.input), caption=caption(one))
                if isinstance(one.input, bytes) and isinstance(one.prediction, str)
                else wandb.Image(draw_picture(Examples((one,))))
                for one in picture.examples
            ]
        columns, rows = picture_table(picture)
        return wandb.Table(columns=columns, data=rows)

    def _close(self, outcome: str) -> None:
        run, self.run = self.run, None
        if run is not None:
            run.summary["fit_outcome"] = outcome
            run.finish(exit_code=int(outcome == "failed"))
