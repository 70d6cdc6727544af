"""What a handler is told of the rows between `forward` and `backward`."""

import pytest
import torch
from helpers import batches, trainer_of


class Asks:
    """Asks in every training batch, in a wrap of its own."""

    def __init__(self):
        self.stretch = None
        self.quiet = []

    def attached(self, trainer):
        self.trainer = trainer

    def wrap_forward(self, forward):
        self.stretch = None

        def ask(state):
            if state.training:
                self.stretch = self.stretch or self.trainer.stretch(self)
                self.quiet.append(self.stretch.is_quiet)
            return forward(state)

        return ask


@pytest.fixture
def asks():
    return Asks()


def test_nothing_stands_between_in_a_plain_fit(asks):
    trainer_of(asks).fit(batches(2), batches(1))
    assert asks.quiet == [True, True]
    assert asks.stretch.obstacles() == []


def test_receivers_are_seen_while_they_are_subscribed(asks):
    trainer = trainer_of(asks)
    trainer.on("begin_batch", every=2, once=True)(
        lambda trainer, state: trainer.on("after_loss", once=True)(lambda trainer, state: None)
    )
    trainer.fit(batches(4))
    assert asks.quiet == [True, False, True, True]


def test_receivers_of_one_signal_and_of_all_are_named_by_what_they_receive(asks):
    trainer = trainer_of(asks)

    def of_one(trainer, state): ...

    def of_all(trainer, state, transition): ...

    trainer.on("after_loss")(of_one)
    trainer.on("any_transition")(of_all)
    trainer.fit(batches(1))
    both = asks.stretch.obstacles()
    assert len(both) == 2
    assert both[0].endswith("of_all receives any_transition")
    assert both[1].endswith("of_one receives after_loss")


@pytest.mark.parametrize("activity", ["forward", "loss", "scored", "backward"])
def test_a_wrap_of_another_is_named_until_it_is_undone(asks, activity):
    trainer = trainer_of(asks)
    undo = trainer.wrap(f"train.batch.{activity}", torch.enable_grad())
    trainer.fit(batches(1))
    assert asks.stretch.obstacles() == [f"enable_grad wraps {activity}"]
    undo()
    trainer.fit(batches(1))
    assert asks.quiet == [False, True]


@pytest.mark.parametrize("activity", ["forward", "loss", "scored", "backward"])
def test_an_activity_of_the_authors_own_is_named(asks, activity):
    def own(state):
        if activity == "forward":
            state.pred = state.model(state.xb)
        if activity == "loss":
            state.loss = state.loss_fn(state.pred, state.yb)
        if activity == "backward":
            state.loss.backward()
        return {
            "forward": "after_pred",
            "loss": "after_loss",
            "scored": "begin_backward",
            "backward": "after_backward",
        }[activity]

    trainer_of(asks, activities={f"train.batch.{activity}": own}).fit(batches(1))
    assert asks.stretch.obstacles() == [f"the activity {activity} is not the trainer's own"]


def test_a_condition_of_the_machine_is_named(asks):
    trainer = trainer_of(asks)
    for transition in trainer.machine.get_transitions("after_loss"):
        transition.add_callback("before", lambda state: None)
    trainer.fit(batches(1))
    (obstacle,) = asks.stretch.obstacles()
    assert "a condition or a callback at after_loss" in obstacle
    assert asks.quiet == [False]


def test_a_host_that_makes_single_transitions_is_named(asks):
    for _ in trainer_of(asks).steps(batches(1)):
        pass
    assert asks.stretch.obstacles() == ["a host makes one transition at a time (steps, astream)"]


def test_ranks_that_train_together_are_an_obstacle(asks):
    trainer = trainer_of(asks)
    told = []

    @trainer.on("after_pred", once=True)
    def as_one_of_two(trainer, state):
        state.world_size = 2
        told.extend(trainer.stretch(asks).obstacles())
        state.world_size = 1

    trainer.fit(batches(1))
    assert "several processes train together" in told
