"""Keep a checkpoint, a recording and a journal of this version: `python tests/keep_files.py NAME`.

Writes `tests/kept_files/NAME/`, which every later version has to read; see `test_kept_files.py`.
"""

from __future__ import annotations

import lzma
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from trackside import (
    EMA,
    CancelFitException,
    Checkpoint,
    History,
    Journal,
    KeyedLoader,
    Recorder,
    Trainer,
)

KEPT = Path(__file__).parent / "kept_files"
EPOCHS, STEP = 3, 9


def job(*handlers):
    """A trainer and its loader, the same whenever they are made; six batches an epoch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.1), nn.Linear(3, 2))
    data = TensorDataset(torch.randn(24, 4), torch.randint(0, 2, (24,)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, [History(), EMA(0.9), *handlers])
    return trainer, KeyedLoader(data, 4, shuffle=True)


def weights(trainer):
    return trainer.state.model.state_dict()


def write(folder, work):
    """A fit that ends at `STEP`, and the weights that it would have had at its end."""
    recording, journal = work / "recording.trackside", work / "journal.jsonl"
    watching = Recorder(recording), Journal(journal, full=("loss",))
    trainer, loader = job(Checkpoint(folder / "checkpoint", steps=STEP), *watching)

    @trainer.on("after_batch")
    def stop(trainer, state):
        if state.step == STEP:
            raise CancelFitException("enough is kept")

    trainer.fit(loader, epochs=EPOCHS)
    for path in (recording, journal):
        (folder / f"{path.name}.xz").write_bytes(lzma.compress(path.read_bytes()))
    (folder / "checkpoint" / ".lock").unlink()

    whole, loader = job()
    whole.fit(loader, epochs=EPOCHS)
    torch.save(weights(whole), folder / "final_weights.pt")


if __name__ == "__main__":
    target = KEPT / sys.argv[1]
    target.mkdir()
    work = Path(tempfile.mkdtemp())
    try:
        write(target, work)
    finally:
        shutil.rmtree(work)
