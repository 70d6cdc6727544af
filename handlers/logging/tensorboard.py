"""Log to TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...events import Examples, Picture, RehearsalPlan
from ...events.utils.flat_names import flat_names
from ._picture_drawing import draw_picture, has_images, markdown_rows, numpy_pixels
from ._row import Row
from ._run_logger import RunLogger, import_extra, scalar_values


class TensorBoard(RunLogger):
    """Writes event files for TensorBoard: metrics, learning rate and counters of each epoch.

    Each fit is a run in its own folder, `fit_0`, `fit_1`, numbered after existing ones. The scalars
    have the names of the metrics, the outcome of each epoch is a text, and the horizontal axis is
    the optimizer step of the fit. Files are flushed after each epoch. Values that are not numbers
    are left out. Pictures of Samples and Interpretation are images, or a text if they have none.

    Signals: begin_fit, resumed, after_step, reported, after_epoch, after_fit
    Reads: epoch, step, samples, lr, outcome, metrics, reported, pictures, loss
    Cost: no sync a batch; one a row for each metric or learning rate that is a tensor; with
        `every` also one each `every` steps, two if the learning rate is a tensor
    Does not: start TensorBoard's server, or log metrics that are not numbers

    Args:
        directory: the folder of all runs; pass it to `tensorboard --logdir`.
        every: also log the `loss` of every n-th optimizer step, from 1; None: never.

    Raises:
        ImportError: tensorboard is not installed: `pip install 'trackside[tensorboard]'`.
        TypeError: `every` is not an int.
        ValueError: `every` is below 1; `directory` is a file.
    """

    reads = ("epoch", "step", "samples", "outcome", "metrics", "reported", "pictures", "loss")

    def __init__(self, directory: str | Path = "runs", every: int | None = None) -> None:
        super().__init__(every)
        self.directory = Path(directory).resolve()  # the working directory may change later
        if self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"TensorBoard({str(directory)!r}): that is a file; allowed: a folder")
        self._import()
        self._writer: Any = None
        self._step = -1

    def rehearse(self, plan: RehearsalPlan) -> None:
        plan.will_write(self.directory)

    def _import(self) -> Any:
        return import_extra("torch.utils.tensorboard", "tensorboard", by=self)

    def _open(self) -> None:
        self._writer, self._step = None, -1
        self._writer = self._import().SummaryWriter(str(self._new_folder()))

    def _run_state(self) -> Row:
        folder = None if self._writer is None else Path(self._writer.log_dir).name
        return {"folder": folder, "step": self._step}

    def _reopen(self, run: Row) -> None:
        if self._writer is not None:  # the fit was rolled back
            self._writer.close()
        self._writer, self._step = None, run["step"]
        folder = str(self.directory / run["folder"])
        # TensorBoard no longer shows what was logged after the checkpoint
        self._writer = self._import().SummaryWriter(folder, purge_step=self._step + 1)

    def _write_facts(self, facts: Row) -> None:
        lines = [f"    {name}  {value}" for name, value in flat_names(facts).items()]
        self._writer.add_text("facts", "\n".join(lines))

    def _write(self, row: Row) -> None:
        for name, number in scalar_values(row).items():
            self._writer.add_scalar(name, number, row["step"])
        if "outcome" in row:
            self._writer.add_text("outcome", row["outcome"], row["step"])
        self._writer.flush()
        self._step = row["step"]

    def _write_pictures(self, pictures: Mapping[str, Picture], step: int) -> None:
        for name, picture in pictures.items():
            if isinstance(picture, Examples) and not has_images(picture):
                self._writer.add_text(name, markdown_rows(picture), step)
            else:
                pixels = numpy_pixels(draw_picture(picture))
                self._writer.add_image(name, pixels, step, dataformats="HWC")
        self._writer.flush()

    def _close(self, outcome: str) -> None:
        if self._writer is not None:
            self._writer.close()

    def _new_folder(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._fit = 0
        while not _makes(folder := self.directory / f"fit_{self._fit}"):
            self._fit += 1
        return folder


def _makes(folder: Path) -> bool:
    """Whether there was no such folder; there is one now."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True
