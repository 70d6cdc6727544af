"""Write the facts of a run to its recording."""

from __future__ import annotations

import json

from ...events import TrainState
from ..run_facts import run_facts
from ._mapped_file import RecordingFile
from ._model_facts import model_facts


class FactWriter:
    """Writes them when the run begins, and once more after its first update.

    Only then do most optimizers have a state, of which the facts tell the size.
    """

    def __init__(self, file: RecordingFile) -> None:
        self._file = file
        self._step: int | None = None

    def begin(self, state: TrainState) -> None:
        """Write the facts of a run that begins or resumes."""
        self._step = state.step
        self._write(state)

    def complete(self, state: TrainState) -> None:
        """Write them again, if there was an update and that was not done yet."""
        if self._step is not None and state.step > self._step:
            self._step = None
            self._write(state)

    def _write(self, state: TrainState) -> None:
        self._file.identify("facts", json.dumps(run_facts(state) | model_facts(state)))
