"""Files that earlier versions wrote, kept in `kept_files/`, are read by this one.

`0.1.0-first` has manifest format 1 and recording format 1, `0.1.0-third` recording format 3,
`0.1.0-fourth` a journal of format 1; `python tests/keep_files.py` adds more.
"""

import lzma
import shutil

import pytest
import torch
from keep_files import EPOCHS, KEPT, STEP, job, weights

from trackside.views import Recording, replay, totals

VERSIONS = sorted(path.name for path in KEPT.iterdir())


@pytest.fixture(params=VERSIONS)
def kept(request, tmp_path):
    """A copy of the files of one version, for reading may lock a folder."""
    return shutil.copytree(KEPT / request.param, tmp_path / request.param)


def test_files_of_four_versions_are_kept():
    assert VERSIONS == ["0.1.0-first", "0.1.0-fourth", "0.1.0-second", "0.1.0-third"]


def test_the_checkpoint_of_an_earlier_version_resumes_to_the_same_weights(kept):
    trainer, loader = job()
    trainer.fit(loader, epochs=EPOCHS, resume=kept / "checkpoint")

    expected = torch.load(kept / "final_weights.pt")
    assert trainer.state.step == 18
    for name, tensor in weights(trainer).items():
        torch.testing.assert_close(tensor, expected[name])


def test_the_checkpoint_of_an_earlier_version_is_not_the_end_of_its_fit(kept):
    trainer, loader = job()
    run = trainer.steps(loader, epochs=EPOCHS, resume=kept / "checkpoint")
    next(run)

    expected = torch.load(kept / "final_weights.pt")
    assert trainer.state.step == STEP
    assert not torch.equal(weights(trainer)["0.weight"], expected["0.weight"])
    run.close()


def test_the_recording_of_an_earlier_version_is_read(kept):
    path = kept / "recording.trackside"
    path.write_bytes(lzma.decompress((kept / "recording.trackside.xz").read_bytes()))

    with Recording(path) as recording:
        transitions = totals(recording).transitions

    counts = {entry.trigger: total.count for entry, total in transitions.items()}
    assert (counts["begin_fit"], counts["begin_batch"], counts["after_step"]) == (1, STEP, STEP)


WITH_JOURNAL = [path.parent for path in KEPT.glob("*/journal.jsonl.xz")]


def test_a_journal_is_kept():
    assert WITH_JOURNAL


@pytest.mark.parametrize("folder", WITH_JOURNAL, ids=lambda path: path.name)
def test_the_journal_of_an_earlier_version_is_read(folder, tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(lzma.decompress((folder / f"{path.name}.xz").read_bytes()))
    losses = []

    class Losses:
        def after_loss(self, trainer, state):
            losses.append(float(state.loss))

    state = replay(path, [Losses()])

    assert (state.step, state.outcome, state.cancel.reason) == (STEP, "cancelled", "enough is kept")
    assert len(losses) == STEP
    assert all(0 < loss < 2 for loss in losses)
