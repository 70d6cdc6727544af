"""Every handler can be copied and pickled, or says why not."""

import copy
import io
import pickle
import warnings

import pytest
import resumable
import torch
from helpers import equal, trainer_of

from trackside import handlers as h
from trackside.handlers.schedules.annealing import cosine, exponential, linear, piecewise

TRACKERS = {"MLflow", "WandB"}
ONE_FILE = {"Journal", "Recorder"}
"""Handlers of which there can be no second one."""
TABLE = sorted({*resumable.MAKERS} - TRACKERS - ONE_FILE)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RESUMABLE_FOLDER", str(tmp_path))


def same_option(x, y):
    """A transform that pickle finds by name."""
    return x, y


def job_of(name):
    if name == "BatchTransform":  # the one of the table is a lambda
        return resumable.job(h.BatchTransform(same_option))
    return resumable.MAKERS[name]()


def handler_of(job, name):
    return next(handler for handler in job.trainer.handlers if type(handler).__name__ == name)


def pickled(handler):
    return pickle.loads(pickle.dumps(handler))


COPIES = [pickled, copy.deepcopy, copy.copy]


def trained(job, epochs=1):
    torch.manual_seed(5)
    resumable.random.seed(5)
    resumable.numpy.random.seed(5)
    with warnings.catch_warnings(action="ignore"):  # of a fit that is too short for some handlers
        job.trainer.fit(job.train_loader, job.valid_loader, epochs=epochs)
    return [value.clone() for value in job.trainer.state.model.state_dict().values()]


@pytest.mark.parametrize("name", TABLE)
def test_a_copy_of_an_attached_handler_trains_like_the_original(name, monkeypatch, tmp_path):
    expected = trained(job_of(name))
    for make in COPIES:
        monkeypatch.setenv("RESUMABLE_FOLDER", str(tmp_path / make.__name__))
        job = job_of(name)
        original = handler_of(job, name)
        copied = make(original)
        job.trainer.detach(original)
        job.trainer.attach(copied)
        found = trained(job)
        pairs = zip(found, expected, strict=True)
        assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


@pytest.mark.parametrize("name", TABLE)
def test_a_handler_is_copied_in_the_middle_of_a_fit_and_after_it(name):
    job = job_of(name)
    original, copies = handler_of(job, name), []

    def make(trainer, state):
        copies.extend(copied(original) for copied in COPIES)

    for signal in ("after_pred", "after_step", "begin_validate", "after_epoch"):
        job.trainer.on(signal, once=True)(make)
    trained(job)
    make(job.trainer, job.trainer.state)
    assert len(copies) >= 2 * len(COPIES)  # some end the fit, or skip an epoch
    assert {type(copied) for copied in copies} == {type(original)}


@pytest.mark.parametrize("name", TABLE)
def test_a_copy_holds_nothing_of_the_trainer(name):
    class Weights(torch.nn.Parameter):
        """What a pickle of the handler must not contain."""

        def __reduce_ex__(self, protocol):
            raise AssertionError("a parameter of the trainer is in the pickle")

        def __deepcopy__(self, memo):
            return self.detach().clone()

    job = job_of(name)
    for module in job.trainer.state.model.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                parameter.__class__ = Weights
    pickle.dumps(handler_of(job, name))


def test_every_logger_is_copied(kind, tmp_path):
    logger = kind.make(tmp_path)
    assert {type(make(logger)) for make in COPIES} == {type(logger)}


def test_a_recorder_says_why_there_is_no_second_one(tmp_path):
    recorder = h.Recorder(tmp_path / "run.loop", 256)
    for make in COPIES:
        with pytest.raises(TypeError, match="two of them would write to one file"):
            make(recorder)


@pytest.mark.parametrize(
    ("handler", "option"),
    [
        (lambda: h.BatchTransform(lambda x, y: (x, y)), "BatchTransform: its function"),
        (lambda: h.Annealing("lr", lambda progress: 0.1), "Annealing: its curve"),
        (lambda: h.LRSchedule(lambda optimizer: None), "LRSchedule: its factory"),
        (lambda: h.TokenLimit(9, lambda state: 1), "TokenLimit: its count"),
        (lambda: h.TimeLimit(1.0, clock=lambda: 0.0), "TimeLimit: its clock"),
        (lambda: h.Metrics(own=OwnMetric(lambda: 1.0)), "Metrics: its metrics"),
    ],
)
def test_a_function_that_pickle_cannot_find_is_named(handler, option):
    with pytest.raises(TypeError, match=option) as refused:
        pickle.dumps(handler())
    assert "such as a function at the top level of a module" in str(refused.value)
    copy.deepcopy(handler())


class OwnMetric:
    """A metric with a function in it."""

    def __init__(self, compute):
        self.compute = compute

    def update(self, pred, yb): ...

    def reset(self): ...


def test_an_open_file_is_named_and_shared_by_a_copy(tmp_path):
    with open(tmp_path / "log", "w") as file:
        bar = h.ProgressBar(file=file)
        with pytest.raises(TypeError, match="cannot pickle ProgressBar: its file"):
            pickle.dumps(bar)
        assert copy.deepcopy(bar).file is file
    assert copy.deepcopy(h.ProgressBar(file=io.StringIO())).mininterval == 0.1


@pytest.mark.parametrize("make", [linear, cosine, exponential])
def test_the_supplied_curves_are_pickled(make):
    curve = piecewise((0.5, make(1.0, 0.5)), (0.5, make(0.5, 0.1)))
    assert [pickled(curve)(n / 7) for n in range(8)] == [curve(n / 7) for n in range(8)]


def test_a_pickled_average_continues():
    ema = h.EMA(0.5)
    trainer = trainer_of(ema)
    trainer.fit([(torch.ones(4, 5), torch.zeros(4, dtype=torch.long))])
    copied = pickled(ema)
    assert copied.updates == 1
    assert equal(list(copied.averaged.parameters()), list(ema.averaged.parameters()))


def test_a_pickled_average_of_another_architecture_starts_anew():
    ema = h.EMA(0.5)
    data = [(torch.ones(4, 5), torch.zeros(4, dtype=torch.long))]
    trainer_of(ema).fit(data)
    copied = pickled(ema)
    with pytest.warns(UserWarning, match="EMA averages another Linear .* starts anew"):
        trainer_of(copied, net=torch.nn.Linear(5, 3)).fit(data)
    assert copied.updates == 1
