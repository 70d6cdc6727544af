"""A batch that is run again is one batch: its gradients, counters and metrics are those of one."""

import pytest
import torch
from helpers import batches, equal, furthest, model, trainer_of, weights
from torch import nn

from trackside import Metrics, MixedPrecision
from trackside.engine import SUPERVISED, ChartError, Topology, update
from trackside.events import (
    CancelBatchException,
    IllegalCancelError,
    RecoveryError,
    RetryBatchException,
)


class Again:
    """Runs each batch again, once, where it is told to."""

    def __init__(self, signal, **how):
        self.signal, self.how = signal, how

    def any_transition(self, trainer, state, transition):
        if transition.trigger == self.signal and state.attempt == 0:
            raise RetryBatchException("again", **self.how)


class Sizes(nn.Module):
    """Notes how many examples the model gets."""

    def __init__(self):
        super().__init__()
        self.inner, self.sizes = model(), []

    def forward(self, x):
        self.sizes.append(len(x))
        return self.inner(x)


def fitted(*handlers, net=None, data=None, **options):
    optimizer = None if net is None else torch.optim.SGD(net.parameters(), lr=0.1)
    trainer = trainer_of(*handlers, net=net, optimizer=optimizer, **options)
    trainer.fit(data or batches(3, size=8), batches(2), epochs=2)
    return trainer


SIGNALS = pytest.mark.parametrize(
    "signal", ["begin_batch", "after_pred", "after_loss", "begin_backward"]
)


@SIGNALS
def test_a_fit_whose_batches_run_again_is_bit_for_bit_the_same(signal):
    again, plain = fitted(Again(signal), Metrics()), fitted(Metrics())
    assert equal(weights(again), weights(plain))
    assert again.state.metrics == plain.state.metrics
    assert (again.state.step, again.state.samples) == (6, 48)


@SIGNALS
@pytest.mark.parametrize("split", [2, 3, 8])
def test_a_batch_in_parts_has_the_gradients_of_the_whole_one(signal, split):
    again, plain = fitted(Again(signal, split=split)), fitted()
    assert furthest(weights(again), weights(plain)) < 1e-6


def test_the_model_gets_one_part_at_a_time_and_each_once_more_in_backward():
    net = Sizes()
    trainer_of(Again("after_loss", split=3), net=net).fit(batches(1, size=8))
    assert net.sizes == [8, *[3, 3, 2], *[2, 3, 3]]


def test_a_second_split_multiplies_the_parts():
    net, found = Sizes(), []
    trainer = trainer_of(net=net)

    @trainer.on("after_pred")
    def halve(trainer, state):
        found.append((state.attempt, tuple(state.pred.shape)))
        if state.attempt < 2:
            raise RetryBatchException("halves", split=2)

    trainer.fit(batches(1, size=8))
    assert found == [(0, (8, 3)), (1, (8, 3)), (2, (8, 3))]
    assert net.sizes[:7] == [8, 4, 4, 2, 2, 2, 2]


def test_the_wraps_of_forward_run_in_a_retry_too():
    found = []
    trainer = trainer_of(MixedPrecision(), Again("after_pred", split=2))
    trainer.on("after_pred")(lambda trainer, state: found.append(state.pred.dtype))
    trainer.fit(batches(1, size=8))
    assert found == [torch.bfloat16] * len(found)
    assert len(found) == 1


def test_a_validation_and_a_prediction_run_again_without_gradients():
    trainer, found = trainer_of(Again("after_pred", split=2), Metrics()), []
    trainer.on("after_pred")(lambda trainer, state: found.append(state.pred.requires_grad))
    plain = trainer_of(Metrics())
    data = batches(2, size=8)
    assert trainer.validate(data) == pytest.approx(plain.validate(data), abs=1e-6)
    assert furthest([trainer.predict(data)], [plain.predict(data)]) < 1e-6
    assert found
    assert not any(found)


def test_a_batch_makes_no_update_of_another_optimizer_twice():
    made = []
    chart = SUPERVISED.cut("validate").replace("batch", update("one"), update("other"))
    trainer = trainer_of(chart=chart)
    trainer.on("after_step")(lambda trainer, state: made.append(state.phase.split(".")[-2]))

    @trainer.on("after_loss", inside="other")
    def again(trainer, state):
        if state.attempt == 0:
            raise RetryBatchException("again", split=2)

    trainer.fit(batches(2, size=8))
    assert made == ["one", "other"] * 2


def test_the_closure_of_an_optimizer_runs_the_same_parts():
    net = Sizes()
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=2)
    trainer_of(Again("after_loss", split=2), net=net, optimizer=optimizer).fit(batches(1, size=8))
    assert 8 not in net.sizes[1:]


RETRIED_FROM = r"no row begin_retry leads out of it; allowed in fit\.epoch\.train\.batch\.forward, "


@pytest.mark.parametrize("signal", ["after_backward", "begin_step", "after_step"])
def test_after_the_gradients_a_retry_is_illegal(signal):
    with pytest.raises(IllegalCancelError, match=RETRIED_FROM):
        fitted(Again(signal))


def test_more_retries_than_the_budget_are_an_error_that_names_it():
    trainer = trainer_of()

    @trainer.on("after_loss")
    def again(trainer, state):
        if state.batch_index == 1:
            raise RetryBatchException("no luck", budget=3)

    with pytest.raises(RecoveryError, match=r"'no luck'.*batch 2: its budget=3 is used up"):
        trainer.fit(batches(3))
    assert trainer.state.step == 1


def test_a_budget_is_that_of_one_batch():
    assert fitted(Again("after_loss", budget=1)).state.step == 6


@pytest.mark.parametrize(("data", "split"), [(batches(1, size=1), 2), (batches(1, size=4), 9)])
def test_a_batch_that_cannot_be_split_is_named(data, split):
    trainer = trainer_of()

    @trainer.on("after_loss")
    def again(trainer, state):
        raise RetryBatchException("smaller", split=split)

    with pytest.raises(RecoveryError, match=r"cannot be split further than into \d parts: it has"):
        trainer.fit(data)


def test_to_stop_outranks_to_run_again():
    trainer, ran = trainer_of(Again("after_loss")), []
    trainer.on("begin_retry")(lambda trainer, state: ran.append(state.cancel.also))

    @trainer.on("begin_retry")
    def stop(trainer, state):
        raise CancelBatchException("enough")

    state = trainer.fit(batches(3))
    assert (state.step, state.samples, len(ran)) == (0, 12, 3)


@pytest.mark.parametrize(
    ("options", "error"), [({"split": 0}, ValueError), ({"budget": "3"}, TypeError)]
)
def test_a_wrong_argument_is_refused_when_it_is_raised(options, error):
    (name,) = options
    with pytest.raises(error, match=rf"RetryBatchException\({name}="):
        RetryBatchException("why", **options)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            ("begin_retry", "fit.epoch.train.batch.step", "fit.epoch.train.batch.retry"),
            "closes first",
        ),
        (("begin_rollback", "fit.epoch.trained", "idle"), "leads out of every scope"),
    ],
)
def test_a_chart_whose_row_cannot_go_back_is_refused(row, text):
    with pytest.raises(ChartError, match=text):
        Topology(SUPERVISED.plus([row]))
