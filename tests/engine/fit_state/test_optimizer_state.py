"""What an optimizer has that is no number: tensors, and options that another version had not."""

import copy

import pytest
import torch
from helpers import batches, equal, model, trainer_of, weights


class Halves:
    """Halves the learning rate, a tensor, in its place."""

    def after_epoch(self, trainer, state):
        state.optimizer.param_groups[0]["lr"].mul_(0.5)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        """It remembers nothing."""


def trainer_with_rate(*handlers, rate=0.4):
    net = model()
    return trainer_of(
        Halves(),
        *handlers,
        net=net,
        optimizer=torch.optim.SGD(net.parameters(), torch.tensor(rate)),
    )


@pytest.fixture
def saved():
    """The state of a fit in its second epoch, and the weights at its end."""
    states = []
    trainer = trainer_with_rate()
    trainer.on("begin_epoch")(lambda t, state: states.append(copy.deepcopy(t.state_dict())))
    trainer.fit(batches(), epochs=3)
    return states[1], weights(trainer)


def test_a_rate_that_is_a_tensor_is_resumed_in_its_place(saved):
    state, end = saved
    again = trainer_with_rate(rate=9.0)
    group = again.state.optimizer.param_groups[0]
    group["of_another_version"] = 3
    rate = group["lr"]
    again.fit(batches(), resume=state)
    assert group["lr"] is rate
    assert rate.item() == pytest.approx(0.4 / 8)
    assert "of_another_version" not in group
    assert equal(weights(again), end)


class Refuses:
    def resumed(self, trainer, state):
        next(state.model.parameters()).requires_grad_(False)
        raise LookupError("not this one")


def test_a_refused_resume_leaves_the_rate_and_what_is_trained_as_they_were(saved):
    again = trainer_with_rate(Refuses(), rate=9.0)
    rate = again.state.optimizer.param_groups[0]["lr"]
    with pytest.raises(LookupError, match="not this one"):
        again.fit(batches(), resume=saved[0])
    assert again.state.optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 9.0
    assert all(parameter.requires_grad for parameter in again.state.model.parameters())
