"""A fit that was rolled back is bit for bit one in which the batches were never trained on."""

import copy
import warnings

import pytest
import torch
from helpers import batches, equal, trainer_of, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader

from trackside import EMA, GradientAccumulation, KeyedLoader, Snapshots, TimeLimit
from trackside.engine import SUPERVISED
from trackside.events import (
    CancelBatchException,
    CancelFitException,
    IllegalCancelError,
    RecoveryError,
    RollbackException,
)

EPOCHS, BATCHES = 2, 5


def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 3))


def trainer_with(*handlers, **options):
    made = net()
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1, momentum=0.9)
    return trainer_of(*handlers, net=made, optimizer=optimizer, **options)


def loader():
    examples = [(x, y) for batch in batches(BATCHES, size=4) for x, y in zip(*batch, strict=True)]
    return KeyedLoader(examples, 4, shuffle=True, seed=3)


class GoBack:
    """Rolls back once, at a batch."""

    def __init__(self, at, **how):
        self.at, self.how, self.made = at, how, False

    def after_loss(self, trainer, state):
        if state.training and (state.epoch, state.batch_index) == self.at and not self.made:
            self.made = True
            raise RollbackException("planted", **self.how)

    def state_dict(self):
        return {"made": self.made}

    def load_state_dict(self, state):
        self.made = state["made"]

    kept_in_rollback = True


class LeaveOut:
    """Trains on no batch from `first` to `last`."""

    def __init__(self, first, last):
        self.first, self.last = first, last

    def begin_batch(self, trainer, state):
        if state.training and self.first <= (state.epoch, state.batch_index) <= self.last:
            raise CancelBatchException


def fitted(trainer, data=None):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        trainer.fit(data or loader(), batches(1), epochs=EPOCHS)
    return trainer


places = st.tuples(st.integers(0, EPOCHS - 1), st.integers(0, BATCHES - 1))


@given(places, st.integers(1, 7), st.none() | st.integers(0, 4))
@settings(max_examples=25)
def test_a_rollback_is_as_if_the_batches_were_left_out_from_the_start(at, every, skip):
    back = fitted(trainer_with(Snapshots(every), GoBack(at, skip=skip), EMA(0.7)))
    (made,) = back.state.rollbacks
    assert made.last == at
    assert skip is None or made.first >= (at[0], max(0, at[1] - skip + 1))
    plain = fitted(trainer_with(EMA(0.7), LeaveOut(made.first, made.last)))
    assert equal(weights(back), weights(plain))
    assert back.state.step == plain.state.step
    left = [(e, b) for e in range(EPOCHS) for b in range(BATCHES) if made.leaves_out(e, b)]
    assert back.state.samples == 4 * (EPOCHS * BATCHES - len(left))


class Capture:
    """Keeps a state dict before each training batch."""

    def __init__(self):
        self.kept = []

    def attached(self, trainer):
        self.trainer = trainer

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        raise AssertionError("nothing was saved")

    def wrap_fetch(self, fetch):
        def capture(state):
            if state.job == "fit" and state.training:
                self.kept.append(copy.deepcopy(self.trainer.state_dict()))
            return fetch(state)

        return capture


@pytest.mark.parametrize("skip", [None, 2])
def test_a_fit_that_was_rolled_back_resumes_bit_for_bit(skip):
    def handlers():
        return Snapshots(3), GoBack((1, 3), skip=skip), EMA(0.7)

    capture = Capture()
    whole = fitted(trainer_with(*handlers(), capture))
    after = [kept for kept in capture.kept if kept["position"].get("rollbacks")]
    assert len(after) >= 2
    for saved in after:
        again = trainer_with(*handlers())
        again.fit(loader(), batches(1), resume=saved)
        assert equal(weights(again), weights(whole))
        assert again.state.rollbacks == whole.state.rollbacks
        assert again.state.step == whole.state.step


def test_a_fit_resumes_though_an_error_was_the_reason_of_a_rollback():
    def go_back(trainer, state):
        if state.batch_index == 1 and not state.rollbacks:
            raise RollbackException(ValueError("not finite"))

    trainer, capture = trainer_with(Snapshots(1)), Capture()
    trainer.attach(capture)
    trainer.on("after_loss")(go_back)
    trainer.fit(batches(3))
    again = trainer_with()
    again.fit(batches(3), resume=capture.kept[-1])
    assert [made.reason for made in again.state.rollbacks] == ["not finite"]


@pytest.mark.parametrize("kind", ["list", "DataLoader"])
def test_a_loader_without_a_position_is_read_again(kind):
    def data():
        read = batches(BATCHES, size=4)
        generator = torch.Generator().manual_seed(5)
        examples = [(x, y) for batch in read for x, y in zip(*batch, strict=True)]
        return read if kind == "list" else DataLoader(examples, 4, True, generator=generator)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is read again
        back = fitted(trainer_with(Snapshots(2), GoBack((1, 2), skip=1)), data())
    plain = fitted(trainer_with(LeaveOut((1, 2), (1, 2))), data())
    assert equal(weights(back), weights(plain))


def test_two_rollbacks_to_one_snapshot_find_it_unchanged():
    handlers = [GoBack((1, 2), to=2, skip=1), GoBack((1, 4), to=2, skip=1)]
    back = fitted(trainer_with(Snapshots(2, keep=99), *handlers))
    assert [made.to_step for made in back.state.rollbacks] == [2, 2]
    plain = fitted(trainer_with(LeaveOut((1, 2), (1, 2)), LeaveOut((1, 4), (1, 4))))
    assert equal(weights(back), weights(plain))


def test_accumulated_gradients_are_restored():
    handlers = GradientAccumulation(2), Snapshots(1), GoBack((0, 3), skip=1)
    back = fitted(trainer_with(*handlers))
    plain = fitted(trainer_with(GradientAccumulation(2), LeaveOut((0, 3), (0, 3))))
    assert equal(weights(back), weights(plain))


def test_snapshots_that_are_newer_than_the_one_restored_are_dropped():
    kept = []
    trainer = trainer_with(Snapshots(1, keep=9), GoBack((0, 3), to=1))
    trainer.on("after_rollback")(
        lambda trainer, state: kept.extend(snapshot.step for snapshot in state.snapshots)
    )
    fitted(trainer)
    assert kept == [0, 1]


def test_the_time_that_has_passed_is_no_part_of_a_rollback():
    now = iter(range(1000))
    limit = TimeLimit(500, clock=lambda: float(next(now)))
    passed = []
    trainer = trainer_with(limit, Snapshots(2), GoBack((1, 1)))
    for signal in ("begin_rollback", "after_rollback"):
        trainer.on(signal)(lambda trainer, state: passed.append(limit.state_dict()["passed"]))
    fitted(trainer)
    assert passed[1] > passed[0] > 1


def test_a_generator_cannot_be_read_again_and_is_refused():
    trainer = trainer_with(Snapshots(2), GoBack((0, 3)))
    with pytest.raises(RecoveryError, match="is a generator, which cannot be read a second time"):
        trainer.fit(batch for batch in batches(5))


@pytest.mark.parametrize(
    ("handlers", "text"),
    [
        ([], "steps of state.snapshots: none, attach Snapshots"),
        ([Snapshots(3)], "snapshots: 0, 3"),
    ],
)
def test_a_snapshot_that_is_not_there_is_named_with_those_that_are(handlers, text):
    with pytest.raises(RecoveryError, match=text):
        fitted(trainer_with(*handlers, GoBack((0, 4), to=2)))


def test_more_rollbacks_than_the_budget_are_an_error_that_names_it():
    trainer = trainer_with(Snapshots(2))

    @trainer.on("after_loss")
    def go_back(trainer, state):
        if state.training and state.batch_index > 1:
            raise RollbackException("again", skip=1, budget=2)

    with pytest.raises(RecoveryError, match=r"'again'.*budget=2 is used up.*rolled back 2 times"):
        fitted(trainer)
    assert isinstance(trainer.state.rollbacks, list)


@pytest.mark.parametrize("signal", ["begin_epoch", "begin_validate", "after_train"])
def test_outside_of_a_training_pass_a_rollback_is_illegal(signal):
    trainer = trainer_with(Snapshots(2))

    @trainer.on(signal, once=True)
    def go_back(trainer, state):
        raise RollbackException("here")

    with pytest.raises(IllegalCancelError, match="no row begin_rollback leads out of it; allowed"):
        fitted(trainer)


def test_a_chart_without_the_row_says_so():
    rows = [row for row in SUPERVISED if "restore" not in row[2] and "rollback" not in row[0]]
    trainer = trainer_with(GoBack((0, 1)), chart=rows)
    with pytest.raises(IllegalCancelError, match="the chart has no such row at all"):
        trainer.fit(batches(3))


def test_a_request_from_outside_rolls_back():
    trainer = trainer_with(Snapshots(2))

    @trainer.on("after_batch", once=True, when=lambda trainer, state: state.step == 3)
    def ask(trainer, state):
        trainer.request(RollbackException("asked for", skip=1))

    state = fitted(trainer).state
    assert [(made.step, made.to_step, made.last) for made in state.rollbacks] == [(3, 2, (0, 2))]


def test_a_cancel_at_the_rollback_leaves_the_state_as_it_was():
    trainer = trainer_with(Snapshots(2), GoBack((1, 1)))

    @trainer.on("begin_rollback")
    def stop(trainer, state):
        assert not state.at_boundary
        with pytest.raises(RuntimeError, match=r"cannot save in fit\.epoch\.train\.restore"):
            trainer.state_dict()
        raise CancelFitException("no")

    state = fitted(trainer).state
    assert (state.outcome, state.step, state.rollbacks) == ("cancelled", 6, [])


def test_a_new_fit_has_no_rollbacks_and_no_snapshots():
    trainer = fitted(trainer_with(Snapshots(2), GoBack((1, 1))))
    assert len(trainer.state.rollbacks) == 1
    assert trainer.state.snapshots == []
    assert fitted(trainer).state.rollbacks == []


@pytest.mark.parametrize(
    ("options", "error"),
    [({"skip": -1}, ValueError), ({"to": "newest"}, TypeError), ({"budget": 1.5}, TypeError)],
)
def test_a_wrong_argument_is_refused_when_it_is_raised(options, error):
    (name,) = options
    with pytest.raises(error, match=rf"RollbackException\({name}="):
        RollbackException("why", **options)


def test_forged_rollbacks_in_a_state_dict_are_refused():
    capture = Capture()
    fitted(trainer_with(Snapshots(2), GoBack((1, 1)), capture))
    for forged in ("x", [["why", 1, 1, [0, 0]]], [["why", 1, 1, [0, 0], [0, "1"]]]):
        saved = copy.deepcopy(capture.kept[-1])
        saved["position"]["rollbacks"] = forged
        with pytest.raises(ValueError, match=r"rollbacks is .*, which no fit has"):
            trainer_with(Snapshots(2), GoBack((1, 1))).fit(loader(), batches(1), resume=saved)
