"""Curves in TensorBoard."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from ._run_logger import Row, RunLogger, imported, numbers


class TensorBoard(RunLogger):
    """Writes event files for TensorBoard: metrics, learning rate and counters of each epoch.

    Each fit has a folder of its own, `fit_0`, `fit_1`, after those that are there: a run in
    TensorBoard. The scalars have the names of the metrics, the outcome of each epoch is a text,
    the horizontal axis is the optimizer step of the fit. All of an epoch is on its way to the
    disk when it is over. What is no number is left out.

    Signals: begin_fit, resumed, after_step, after_epoch, after_fit
    Reads: epoch, step, samples, lr, outcome, metrics, loss
    Cost: no sync a batch; one an epoch for each metric, and for the learning rate, that is a
        tensor; with `every` one each `every` steps, and one more for such a learning rate

    Args:
        directory: of the runs; pass it to `tensorboard --logdir`.
        every: also the `loss`, each so many optimizer steps; None: never.

    Raises:
        ImportError: tensorboard is missing: `pip install trackside[tensorboard]`.
        TypeError: `every` is no int.
        ValueError: `every` is below 1; `directory` is a file.
    """

    def __init__(self, directory: str | Path = "runs", every: int | None = None) -> None:
        super().__init__(every)
        self.directory = Path(directory).resolve()  # the program may go elsewhere meanwhile
        if self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"TensorBoard({str(directory)!r}): that is a file; allowed: a folder")
        self._tensorboard = imported("torch.utils.tensorboard", "tensorboard", by=self)
        self._writer: Any = None
        self._step = -1

    def _open(self) -> None:
        self._writer, self._step = None, -1
        self._writer = self._tensorboard.SummaryWriter(str(self._new_folder()))

    def _run(self) -> Row:
        return {"folder": Path(self._writer.log_dir).name, "step": self._step}

    def _go_on(self, run: Row) -> None:
        self._writer, self._step = None, run["step"]
        folder = str(self.directory / run["folder"])
        # what was logged later is not shown any more
        self._writer = self._tensorboard.SummaryWriter(folder, purge_step=self._step + 1)

    def _write(self, row: Row) -> None:
        for name, number in numbers(row).items():
            self._writer.add_scalar(name, number, row["step"])
        if "outcome" in row:
            self._writer.add_text("outcome", row["outcome"], row["step"])
        self._writer.flush()
        self._step = row["step"]

    def _close(self, outcome: str) -> None:
        if self._writer is not None:
            self._writer.close()

    def _new_folder(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        for self._fit in count():
            folder = self.directory / f"fit_{self._fit}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            break
        return folder
