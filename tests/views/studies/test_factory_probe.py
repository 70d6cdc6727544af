import itertools

import pytest
import torch
from studied import job

from trackside import EMA, CSVLogger, History, Metrics
from trackside.views.jobs.named_job import JobSource
from trackside.views.output.usage_error import UsageError
from trackside.views.studies.factory_probe import probe


class Scaled:
    requires = ("Scaler",)

    def after_loss(self, trainer, state):
        pass


class Wrong(Scaled):
    requires = "Scaler"


def test_a_probe_names_the_handlers_what_they_require_and_which_stay(tmp_path):
    def made():
        logger = CSVLogger(tmp_path / "log.csv")
        return job(0.1, EMA(), Scaled(), EMA(0.5), Metrics(), History(), logger)

    probed = probe(JobSource(made, "jobs:made"), 0, {})
    assert probed.handlers == ["EMA", "Scaled", "EMA-2", "Metrics", "History", "CSVLogger"]
    assert probed.requires["Scaled"] == ["Scaler"]
    assert "EMA" in probed.classes["EMA-2"]
    assert {*probed.kept} == {"Metrics", "History", "CSVLogger"}


CALLS = itertools.count()


def fails_later():
    if next(CALLS):
        raise FileExistsError("runs/x")
    return job()


ONCE = job()
SHARED = EMA()


def _drawn_elsewhere():
    made = job()
    with torch.no_grad():
        made.trainer.state.model.bias += next(CALLS)
    return made


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (fails_later, "cannot call jobs:f twice, .*: the second call raised FileExistsError: runs"),
        (lambda: ONCE, "it returned the same model"),
        (lambda: job(0.1, SHARED), "the same EMA"),
        (lambda: job(0.1, *[EMA() for _ in range(next(CALLS) + 1)]), "the handlers EMA, .*, then"),
        (_drawn_elsewhere, "it returned other weights with seed 3"),
        (lambda: job(0.1, Wrong()), "Wrong has requires = 'Scaler'; allowed: a tuple of names"),
        (lambda: None, "expected a trackside.Job"),
    ],
)
def test_a_factory_that_cannot_be_called_for_each_fit_is_refused(factory, message):
    with pytest.raises(UsageError, match=message):
        probe(JobSource(factory, "jobs:f"), 3, {})


def test_a_parameter_that_the_factory_does_not_have_is_named():
    with pytest.raises(UsageError, match="f has no parameter 'lrr'; did you mean lr\\?"):
        probe(JobSource(job, "jobs:f"), 0, {"lrr": 0.1})
