"""What `--lr-find` refuses, and what it writes."""

import pytest
from helpers import batches, model, trainer_of

from trackside import Trainer
from trackside.views import Job
from trackside.views.fitting.find_rate import find_rate
from trackside.views.output.usage_error import UsageError


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (lambda: Job(trainer_of(), None), "the job has no train_loader, so there is nothing"),
        (lambda: Job(Trainer(model()), batches()), "the trainer has no optimizer"),
    ],
)
def test_a_job_whose_rates_cannot_be_tested_is_refused(job, message):
    with pytest.raises(UsageError, match=f"--lr-find: .*{message}"):
        find_rate(job(), None)


def test_the_curve_is_drawn_in_the_out_folder(tmp_path, capsys):
    find_rate(Job(trainer_of(), batches()), tmp_path)
    assert capsys.readouterr().out.endswith(f"wrote {tmp_path / 'lr_find.png'}\n")
    assert (tmp_path / "lr_find.png").read_bytes().startswith(b"\x89PNG")
