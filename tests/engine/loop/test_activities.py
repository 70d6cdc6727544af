"""Activities on a hand-made state."""

import pytest
import torch
from charts import WORK
from helpers import model, state_of

from trackside.engine import Engine
from trackside.engine.loop.activities import next_epoch, refuse_rollback, step, zero_grad
from trackside.engine.loop.chart_activities import backward_of_own
from trackside.events import RecoveryError, TrainState


def test_a_step_without_an_optimizer_is_refused_and_there_is_nothing_to_clear():
    state = state_of()
    with pytest.raises(TypeError, match="optimizer"):
        step(state)
    assert (state.step, zero_grad(state)) == (0, "after_batch")


def test_each_epoch_begins_with_its_validation_due_at_its_end_and_not_before():
    state = state_of(n_epochs=2, validation_due=False, validate_next=True)
    assert next_epoch(state) == "begin_epoch"
    assert (state.validation_due, state.validate_next) == (True, False)


def test_a_loss_of_which_an_update_cannot_compute_gradients_is_explained():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    state = state_of(model=net, optimizers={"a": optimizer}, loss=torch.ones(()))
    state.of = "a"
    with pytest.raises(ValueError, match=r"cannot differentiate the loss .*: it needs no gradient"):
        backward_of_own(state)


def test_only_a_trainer_can_be_rolled_back():
    with pytest.raises(RecoveryError, match="another engine saves no state"):
        refuse_rollback(state_of())


def test_an_engine_runs_a_chart_without_a_trainer():
    done = []

    def work(state):
        done.append(state.phase)
        return "after_work"

    state = TrainState(model=torch.nn.Identity())
    assert Engine(WORK, {"work": work}, state).run() is state
    assert (done, state.phase, state.outcome) == (["work.run"], "completed", "completed")
