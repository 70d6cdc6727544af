import pytest
import torch
from helpers import model, trainer_of

from trackside import MixedPrecision
from trackside.views.options.precision_option import attach_precision
from trackside.views.output.usage_error import UsageError


def test_a_job_with_a_precision_of_its_own_is_refused():
    trainer = trainer_of(MixedPrecision())
    with pytest.raises(UsageError, match="--precision bf16: the job has a MixedPrecision already"):
        attach_precision(trainer, "bf16")
    assert len(trainer.handlers) == 1


def test_a_job_that_cannot_be_trained_so_is_refused_in_one_line():
    net = model()
    trainer = trainer_of(net=net, optimizer=torch.optim.LBFGS(net.parameters()))
    with pytest.raises(UsageError, match=r"--precision fp16: .*; use torch\.bfloat16") as caught:
        attach_precision(trainer, "fp16")
    assert "\n" not in str(caught.value)
    assert trainer.handlers == []
